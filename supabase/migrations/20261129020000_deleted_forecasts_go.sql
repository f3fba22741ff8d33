-- Deleted forecasts are removed for good as deleted datasets are (20261128234000).
alter table public.forecasts
    add column removing_at timestamptz,
    add check (removing_at is null or deleted_at is not null);
create index forecasts_removing on public.forecasts (removing_at) where removing_at is not null;
comment on column public.forecasts.removing_at is 'When its removal for good began; it cannot be brought back from then on.';
