-- Calls of a Compute that outlives our processes: a row for each part of an attempt, committed before the call is made, so
-- that whoever is delivered the job next goes on with it. The worker alone sees them.

create table public.calls (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    job_id uuid not null,
    attempt integer not null check (attempt > 0),
    part text not null,
    call_id text,
    answer text,
    dispatched_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    check ((answer is null) = (ended_at is null)),
    unique (job_id, attempt, part),
    foreign key (job_id, user_id) references public.jobs (id, user_id) on delete cascade
);
create index calls_user on public.calls (user_id);
comment on column public.calls.call_id is 'What Compute calls it; null until that is known.';
comment on column public.calls.answer is 'What came of it, as JSON: {"result": …} or {"error": [name, message, details]}.';

alter table public.calls enable row level security;
alter table public.calls force row level security;
revoke all on public.calls from anon, authenticated, public;
create policy worker on public.calls for all to variosync_worker using (true) with check (true);
grant select, insert, update, delete on public.calls to variosync_worker;

-- What such a job took is told by its calls: the time that they waited for a machine, or we for them, costs nothing.
alter table public.jobs add column measured integer check (measured >= 0);
comment on column public.jobs.measured is 'Seconds that its calls ran, where they tell it; else it is measured from claimed_at.';

create or replace function hours.settle_job() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    new.charged := hours.settle(
        new.id,
        case when new.state = 'succeeded' then coalesce(
            new.measured,
            floor(extract(epoch from clock_timestamp() - coalesce(new.claimed_at, clock_timestamp())))::bigint) end,
        clock_timestamp());
    return new;
end $$;

-- Nobody holds a job while its calls run: who asks to cancel it has it looked at now, not at the next turn.
create function public.look_again() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from public.calls c where c.job_id = new.id and c.attempt = new.attempt) then
        perform public.enqueue_job(new.id);
    end if;
    return null;
end $$;
revoke all on function public.look_again from public, anon, authenticated;
create trigger jobs_look_again after update of cancel_requested on public.jobs for each row
    when (new.cancel_requested and new.state = 'running') execute function public.look_again();
