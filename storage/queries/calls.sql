-- name: job_resume
-- A running job whose attempt has calls, to go on with.
select id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
       dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged
from public.jobs j
where id = %(id)s and state = 'running'
  and exists (select from public.calls c where c.job_id = j.id and c.attempt = j.attempt);

-- name: job_measured
-- Record how long the calls of the current attempt ran, before it ends.
update public.jobs
set measured = %(seconds)s
where id = %(id)s and attempt = %(attempt)s and state = 'running';

-- name: call_dispatch
-- Record that a part of an attempt is about to be called.
insert into public.calls (user_id, job_id, attempt, part, prefix, payload)
values (%(user_id)s, %(job_id)s, %(attempt)s, %(part)s, %(prefix)s, %(payload)s);

-- name: call_kept
-- Take into an attempt what a part has answered in the one before.
insert into public.calls (user_id, job_id, attempt, part, prefix, payload, call_id, answer, started_at, ended_at)
select user_id, job_id, %(attempt)s, part, prefix, payload, call_id, answer, started_at, ended_at
from public.calls
where job_id = %(job_id)s and attempt = %(attempt)s - 1 and part = %(part)s;

-- name: calls_of_attempt
-- The calls of an attempt in their order, the seconds since each was dispatched or released, and since it was first seen to run.
select id, part, payload, call_id, answer,
       extract(epoch from clock_timestamp() - dispatched_at)::double precision as age,
       extract(epoch from clock_timestamp() - started_at)::double precision as ran
from public.calls
where job_id = %(job_id)s and attempt = %(attempt)s
order by dispatched_at;

-- name: call_released
-- Complete what a call is asked that waited for another one, once; its time counts from now.
update public.calls
set payload = %(payload)s, dispatched_at = clock_timestamp()
where id = %(id)s and answer is null and payload ? 'after';

-- name: call_spawned
-- Keep what Compute calls a call, unless another one was kept for this part before or its job is gone.
update public.calls
set call_id = %(call_id)s
where id = %(id)s and call_id is null and answer is null and job_id is not null
returning id;

-- name: call_started
-- Note that a call is seen to run, the first time.
update public.calls
set started_at = clock_timestamp()
where id = %(id)s and started_at is null;

-- name: call_ended
-- Record what came of a call, once.
update public.calls
set answer = %(answer)s, ended_at = clock_timestamp()
where id = %(id)s and answer is null;

-- name: calls_orphaned
-- Some calls whose job is gone: those that nobody has stopped, and those that were dispatched `life` seconds ago.
select id, prefix, case when answer is null then call_id end as going, over
from (
    select *, dispatched_at < clock_timestamp() - make_interval(secs => %(life)s) as over
    from public.calls
    where job_id is null
) orphans
where payload is not null or over
order by dispatched_at
limit 20;

-- name: call_stopped
-- Forget what a call without a job was asked.
update public.calls
set payload = null
where id = %(id)s;

-- name: call_forgotten
-- Forget a call without a job.
delete from public.calls
where id = %(id)s and job_id is null;
