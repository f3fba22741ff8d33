-- name: jobs_list
-- The user's jobs, in some states or in any, the newest first, from before one of them or from now.
select id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
       dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged
from public.jobs
where (%(states)s::text[] is null or state = any(%(states)s::text[]))
  and (%(before)s::uuid is null
       or (created_at, id) < (select b.created_at, b.id from public.jobs b where b.id = %(before)s::uuid))
order by created_at desc, id desc
limit %(limit)s;

-- name: job_by_id
-- One job.
select id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
       dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged
from public.jobs
where id = %(id)s;

-- name: jobs_open
-- Jobs that have not ended, of one dataset or of all.
select id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
       dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged
from public.jobs
where state in ('queued', 'running') and (%(dataset_id)s::uuid is null or dataset_id = %(dataset_id)s::uuid)
order by created_at;

-- name: job_last
-- The newest job of a kind on a dataset.
select id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
       dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged
from public.jobs
where dataset_id = %(dataset_id)s and kind = %(kind)s
order by created_at desc
limit 1;

-- name: job_waits
-- A conversion before which an earlier one of the same dataset has to end.
select j.id
from public.jobs j
where j.id = %(id)s and j.kind = 'convert' and j.state = 'queued'
  and exists (
      select from public.jobs e
      where e.dataset_id = j.dataset_id and e.kind = 'convert' and e.state in ('queued', 'running')
        and (e.created_at, e.id) < (j.created_at, j.id)
  );

-- name: job_prepare
-- Note what an attempt was given beside what was ordered.
update public.jobs set payload = %(payload)s where id = %(id)s;

-- name: job_claim
-- Begin an attempt; a job that has ended, was cancelled or holds no hours cannot be claimed.
update public.jobs
set state = 'running', attempt = attempt + 1, progress = 0, message = 'Starting',
    started_at = coalesce(started_at, now()), claimed_at = clock_timestamp()
where id = %(id)s and state in ('queued', 'running') and not cancel_requested
  and exists (select from public.hour_reservations r where r.job_id = jobs.id and r.settled_at is null)
returning id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
          dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged;

-- name: job_end_cancelled
-- End a job that was asked to stop, but whose worker died or gave it back.
update public.jobs
set state = 'cancelled', finished_at = now(), message = 'The job was cancelled.'
where id = %(id)s and state in ('queued', 'running') and cancel_requested
returning id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
          dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged;

-- name: job_progress
-- Record progress of the current attempt; no row means that the attempt was overtaken.
update public.jobs
set progress = %(progress)s, message = %(message)s
where id = %(id)s and attempt = %(attempt)s and state = 'running'
returning cancel_requested;

-- name: job_finish
-- End a job, once, by its current attempt.
update public.jobs
set state = %(state)s, error = %(error)s, message = %(message)s, finished_at = now(),
    progress = case when %(state)s = 'succeeded' then 1 else progress end
where id = %(id)s and attempt = %(attempt)s and state = 'running'
returning id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
          dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged;

-- name: job_release
-- Give a running job back to the queue; `spare` more attempts make up for one that was no fault of the job.
update public.jobs
set state = 'queued', max_attempts = max_attempts + %(spare)s::integer, message = %(message)s, progress = 0
where id = %(id)s and attempt = %(attempt)s and state = 'running'
returning id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
          dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged;

-- name: job_cancel
-- Cancel a job: a queued one ends now, a running one is asked to.
update public.jobs
set cancel_requested = true,
    state = case when state = 'queued' then 'cancelled' else state end,
    finished_at = case when state = 'queued' then now() end,
    message = case when state = 'queued' then 'The job was cancelled.' else 'Cancelling' end
where id = %(id)s and state in ('queued', 'running')
returning id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
          dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged;

-- name: job_retry
-- Make an ended job ready to run again.
update public.jobs
set state = 'queued', max_attempts = attempt + 3, progress = 0, message = '', error = null, cancel_requested = false,
    started_at = null, finished_at = null
where id = %(id)s and state in ('failed', 'cancelled')
  and not exists (select from public.datasets d where d.id = dataset_id and d.deleted_at is not null)
  and not exists (select from public.forecasts f where f.id = forecast_id and f.deleted_at is not null)
returning id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
          dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged;
