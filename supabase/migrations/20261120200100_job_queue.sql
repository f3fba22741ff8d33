-- The queue's schema and the one way into it. The queue's tables come from the installed procrastinate
-- (`variosync migrate`), belong to the worker alone, and are reached by everybody else through enqueue_job.

create schema if not exists procrastinate;
grant usage on schema procrastinate to variosync_worker;

create function public.enqueue_job(job_id uuid, delay double precision default 0) returns bigint
    language plpgsql security definer set search_path = procrastinate, pg_temp as $$
declare
    holder uuid;
    due timestamptz := case when delay > 0 then now() + make_interval(secs => delay) end;
    queued bigint;
begin
    -- The row lock makes concurrent calls for one job wait for each other.
    select user_id into holder from public.jobs where id = enqueue_job.job_id for update;
    if holder is null or (session_user <> 'variosync_worker' and holder is distinct from auth.uid()) then
        raise exception 'job % is not yours', enqueue_job.job_id using errcode = 'insufficient_privilege';
    end if;
    -- A delivery that already waits is brought forward rather than doubled.
    update procrastinate_jobs
    set scheduled_at = nullif(least(coalesce(scheduled_at, '-infinity'), coalesce(due, '-infinity')), '-infinity')
    where lock = enqueue_job.job_id::text and status = 'todo'
    returning id into queued;
    if queued is null then
        queued := (procrastinate_defer_jobs_v1(array[
            row('jobs', 'advance', 0, enqueue_job.job_id::text, null,
                jsonb_build_object('job_id', enqueue_job.job_id), due)::procrastinate_job_to_defer_v1
        ]))[1];
    else
        perform pg_notify('procrastinate_queue_v1#jobs', json_build_object('type', 'job_inserted', 'job_id', queued)::text);
    end if;
    update public.jobs set queue_id = queued where id = enqueue_job.job_id;
    return queued;
end $$;
revoke all on function public.enqueue_job from public, anon;
grant execute on function public.enqueue_job to authenticated, variosync_worker;
