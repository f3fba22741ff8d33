-- A scrape of `/metrics` reads the jobs that ended since the last one, however many there are in all.
create index jobs_ended on public.jobs (finished_at) where finished_at is not null;
