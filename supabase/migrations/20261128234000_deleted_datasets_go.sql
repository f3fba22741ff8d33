-- Deleted datasets are removed for good when they have been deleted for 30 days. A removal that has begun is marked, because
-- objects go before rows: whoever is interrupted finds what is left to do, and nobody brings back what is half gone.
alter table public.datasets
    add column removing_at timestamptz,
    add check (removing_at is null or deleted_at is not null);
create index datasets_removing on public.datasets (removing_at) where removing_at is not null;
comment on column public.datasets.removing_at is 'When its removal for good began; it cannot be brought back from then on.';

-- Until now they were kept without an end, and so it was told: the days count from now on.
update public.datasets set deleted_at = now() where deleted_at is not null;
