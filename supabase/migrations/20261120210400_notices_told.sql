-- A notice is told once: by a toast on an open page, or at the next page that is opened.
-- What is there already counts as told.
alter table public.notices add column told_at timestamptz default now();
alter table public.notices alter column told_at drop default;
grant update (told_at) on public.notices to authenticated;
create index notices_untold on public.notices (user_id) where told_at is null;
