-- name: job_insert
-- Record a job.
insert into public.jobs (id, user_id, kind, title, payload, dataset_id, forecast_id)
values (coalesce(%(id)s::uuid, gen_random_uuid()), %(user_id)s, %(kind)s, %(title)s, %(payload)s, %(dataset_id)s, %(forecast_id)s)
returning id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
          dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged;

-- name: job_enqueue
-- Enqueue a recorded job, `delay` seconds from now; a delivery that waits already is brought forward.
select public.enqueue_job(%(id)s, %(delay)s) as queue_id;

-- name: jobs_unqueued
-- Jobs that have not ended, but that no delivery waits for or holds.
select j.id
from public.jobs j
where j.state in ('queued', 'running')
  and exists (select from public.hour_reservations r where r.job_id = j.id and r.settled_at is null)
  and not exists (
      select from procrastinate.procrastinate_jobs q
      where q.lock = j.id::text and q.status in ('todo', 'doing')
  )
order by j.created_at;

-- name: jobs_of_datasets
-- How the newest conversion of each of these datasets stands, and of how many files the newest has not succeeded.
with newest as (
    select distinct on (j.dataset_id, j.payload ->> 'upload') j.dataset_id, j.state, j.error, j.created_at
    from public.jobs j
    where j.dataset_id = any(%(ids)s) and j.kind = 'convert'
    order by j.dataset_id, j.payload ->> 'upload', j.created_at desc
)
select distinct on (dataset_id) dataset_id, state, coalesce(error ->> 'message', '') as why,
    count(*) filter (where state <> 'succeeded') over (partition by dataset_id) as outside
from newest
order by dataset_id, created_at desc;
