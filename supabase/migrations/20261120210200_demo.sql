-- The sample workspace, and what a newcomer has done already. Everything about it is read from here, never from memory:
-- which upload is a sample, whether its dataset was deleted, and whether the workspace was filled to the end.

alter table public.uploads add column sample text check (sample in ('shop_sales', 'grid_load', 'former'));
comment on column public.uploads.sample is 'The file of the sample workspace that this is; `former` once it was replaced.';
create unique index uploads_sample on public.uploads (user_id, sample) where sample <> 'former';

alter table public.profiles add column demo_at timestamptz;
comment on column public.profiles.demo_at is 'When the sample workspace was filled to its end; null before, and on a reset.';

alter table public.settings
    add column faults_seen_at timestamptz,
    add column first_steps_dismissed_at timestamptz;
