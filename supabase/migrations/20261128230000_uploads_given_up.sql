-- Uploads whose bytes stopped coming are given up, so that nobody fills the disk with what they never finish.
alter table public.uploads add column grown_at timestamptz not null default now();
create index uploads_receiving on public.uploads (grown_at) where state = 'receiving';
comment on column public.uploads.grown_at is 'When its sender was last heard of; uploads that are still receiving are given up a week later.';
