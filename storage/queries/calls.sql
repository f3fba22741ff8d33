-- name: job_resume
-- A running job whose attempt has calls, to go on with.
select id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
       dataset_id, forecast_id, call_id, created_at, started_at, finished_at, quote, charged
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
insert into public.calls (user_id, job_id, attempt, part)
values (%(user_id)s, %(job_id)s, %(attempt)s, %(part)s);

-- name: calls_of_attempt
-- The calls of an attempt, and the seconds since they were dispatched.
select id, part, call_id, answer, extract(epoch from clock_timestamp() - dispatched_at)::double precision as age
from public.calls
where job_id = %(job_id)s and attempt = %(attempt)s;

-- name: call_spawned
-- Keep what Compute calls a call, unless another one was kept for this part before.
update public.calls
set call_id = %(call_id)s
where id = %(id)s and call_id is null and answer is null
returning id;

-- name: call_ended
-- Record what came of a call, once.
update public.calls
set answer = %(answer)s, ended_at = clock_timestamp()
where id = %(id)s and answer is null;
