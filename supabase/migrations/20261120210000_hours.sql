-- Hours, in whole seconds: what a user was given (hour_grants), every second that came or went (hour_ledger), the one
-- stretch of viewing that runs (usage_sessions), and what is held for jobs (hour_reservations).
--
-- Nobody writes these tables but the functions below. Those in the schema `hours` take the time as an argument and
-- belong to the owner alone; those in `public` read the clock of the database and check who calls. All take their locks
-- in one order: usage session or job, then account (the row in profiles). Every change of a grant is a ledger entry:
-- Σ ledger = Σ remaining = balance, at any time, and neither is ever negative.

create schema hours;

create table public.hour_grants (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    source text not null check (source in ('trial', 'owner', 'gift', 'purchase', 'refund')),
    label text not null check (length(label) between 1 and 200),
    seconds bigint not null check (seconds > 0),
    remaining bigint not null check (remaining between 0 and seconds),
    priority integer not null default 50,
    expires_at timestamptz,
    key text not null unique,
    created_at timestamptz not null default clock_timestamp(),
    unique (id, user_id)
);
create index hour_grants_live on public.hour_grants (user_id) where remaining > 0;
create index hour_grants_user on public.hour_grants (user_id, created_at);
create index hour_grants_expiring on public.hour_grants (expires_at) where remaining > 0 and expires_at is not null;

create table public.usage_sessions (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    state text not null default 'running' check (state in ('running', 'idle', 'paused', 'ended', 'exhausted')),
    started_at timestamptz not null,
    billed_through timestamptz not null,
    seen_at timestamptz not null,
    active_at timestamptz not null,
    ended_at timestamptz,
    pages uuid[] not null default '{}',
    left_at timestamptz,
    seconds bigint not null default 0 check (seconds >= 0),
    check ((state in ('ended', 'exhausted')) = (ended_at is not null)),
    unique (id, user_id)
);
create unique index usage_sessions_open on public.usage_sessions (user_id) where ended_at is null;
create index usage_sessions_user on public.usage_sessions (user_id, started_at desc);
create index usage_sessions_seen on public.usage_sessions (seen_at) where ended_at is null;
comment on column public.usage_sessions.pages is 'Pages that are known to be open.';
comment on column public.usage_sessions.left_at is 'When the last of them was closed, until another opens.';
comment on table public.usage_sessions is 'A stretch of viewing; a user has at most one open, whatever the number of tabs and devices.';

create table public.hour_ledger (
    id bigint generated always as identity primary key,
    user_id uuid not null references public.profiles on delete cascade,
    grant_id uuid not null,
    kind text not null check (kind in ('grant', 'viewing', 'job', 'refund', 'expiry')),
    label text not null,
    seconds bigint not null check (seconds <> 0),
    balance bigint not null check (balance >= 0),
    key text not null,
    session_id uuid,
    job_id uuid,
    at timestamptz not null default clock_timestamp(),
    unique (grant_id, key),
    foreign key (grant_id, user_id) references public.hour_grants (id, user_id) on delete cascade
);
create index hour_ledger_user on public.hour_ledger (user_id, id desc);
create index hour_ledger_key on public.hour_ledger (key);
comment on table public.hour_ledger is 'Rows are added and never changed; balance is the sum up to the row.';

alter table public.jobs
    add column quote integer not null default 0 check (quote >= 0),
    add column charged integer check (charged between 0 and quote),
    add column claimed_at timestamptz;
comment on column public.jobs.quote is 'Seconds of the user''s hours that the job may cost.';
comment on column public.jobs.charged is 'Seconds that it did cost: the quote or what was measured, whichever is less.';

create table public.hour_reservations (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    job_id uuid not null,
    seconds bigint not null check (seconds >= 0),
    charged bigint check (charged between 0 and seconds),
    held_at timestamptz not null,
    settled_at timestamptz,
    check ((charged is null) = (settled_at is null)),
    foreign key (job_id, user_id) references public.jobs (id, user_id) on delete cascade
);
create unique index hour_reservations_held on public.hour_reservations (job_id) where settled_at is null;
create index hour_reservations_job on public.hour_reservations (job_id);
create index hour_reservations_user on public.hour_reservations (user_id, settled_at);

create view public.hour_balances with (security_invoker = true) as
select p.id as user_id,
       coalesce((select sum(g.remaining) from public.hour_grants g
                 where g.user_id = p.id and g.remaining > 0
                   and (g.expires_at is null or g.expires_at > now())), 0)::bigint as seconds,
       coalesce((select sum(r.seconds) from public.hour_reservations r
                 where r.user_id = p.id and r.settled_at is null), 0)::bigint as reserved,
       (select min(g.expires_at) from public.hour_grants g
        where g.user_id = p.id and g.remaining > 0 and g.expires_at > now()) as expires_next,
       (select case when s.state = 'paused' then 'paused'
                    when s.left_at is not null or s.seen_at < now() - interval '75 seconds' then 'off'
                    else s.state end
        from public.usage_sessions s where s.user_id = p.id and s.ended_at is null) as viewing
from public.profiles p;
comment on view public.hour_balances is 'What each user can use now; hours past their expiry do not count even before they are written off.';

-- The account's lock. Foreign keys to profiles are not held up by it.
create function hours.lock_account(p_user uuid) returns void language plpgsql set search_path = '' as $$
begin
    perform 1 from public.profiles where id = p_user for no key update;
    if not found then
        raise exception 'there is no such account' using errcode = 'foreign_key_violation';
    end if;
end $$;

create function hours.balance(p_user uuid) returns bigint language sql stable set search_path = '' as $$
    select coalesce(sum(remaining), 0)::bigint from public.hour_grants where user_id = p_user and remaining > 0
$$;

-- Write off what has passed its expiry. The account is locked by the caller.
create function hours.lapse(p_user uuid, p_at timestamptz) returns bigint language plpgsql set search_path = '' as $$
declare
    g record;
    total bigint;
    gone bigint := 0;
begin
    for g in select id, remaining, label from public.hour_grants
             where user_id = p_user and remaining > 0 and expires_at <= p_at
             order by expires_at, id
    loop
        total := hours.balance(p_user) - g.remaining;
        update public.hour_grants set remaining = 0 where id = g.id;
        insert into public.hour_ledger (user_id, grant_id, kind, label, seconds, balance, key, at)
        values (p_user, g.id, 'expiry', g.label || ', expired', -g.remaining, total,
                'expiry:' || coalesce((select max(id) from public.hour_ledger where grant_id = g.id), 0), p_at);
        gone := gone + g.remaining;
    end loop;
    return gone;
end $$;

-- Take up to p_seconds from the grants, by priority, then expiry, then age. The account is locked by the caller.
create function hours.take(
    p_user uuid, p_seconds bigint, p_kind text, p_label text, p_key text, p_session uuid, p_job uuid, p_at timestamptz
) returns bigint language plpgsql set search_path = '' as $$
declare
    g record;
    part bigint;
    taken bigint := 0;
    total bigint := hours.balance(p_user);
begin
    for g in select id, remaining from public.hour_grants
             where user_id = p_user and remaining > 0
             order by priority, expires_at nulls last, created_at, id
    loop
        exit when taken >= p_seconds;
        part := least(p_seconds - taken, g.remaining);
        update public.hour_grants set remaining = remaining - part where id = g.id;
        taken := taken + part;
        insert into public.hour_ledger (user_id, grant_id, kind, label, seconds, balance, key, session_id, job_id, at)
        values (p_user, g.id, p_kind, p_label, -part, total - taken, p_key, p_session, p_job, p_at);
    end loop;
    return taken;
end $$;

-- Charge a usage session for whole seconds up to p_through and move its watermark by what was charged; the fraction
-- waits for the next call. A session that cannot be paid for is exhausted. Calling twice charges once.
create function hours.charge(p_session uuid, p_through timestamptz, p_at timestamptz) returns bigint
    language plpgsql set search_path = '' as $$
declare
    s public.usage_sessions;
    due bigint;
    taken bigint := 0;
begin
    select * into s from public.usage_sessions where id = p_session for update;
    if not found or s.ended_at is not null then
        return 0;
    end if;
    perform hours.lock_account(s.user_id);
    due := floor(extract(epoch from p_through - s.billed_through));
    if due > 0 then
        -- Hours that lapsed while this stretch was viewed still pay for it.
        perform hours.lapse(s.user_id, s.billed_through);
        taken := hours.take(s.user_id, due, 'viewing', 'Viewing', 'viewing:' || s.id || ':' || s.seconds, s.id, null, p_at);
    end if;
    perform hours.lapse(s.user_id, p_at);
    update public.usage_sessions
    set billed_through = billed_through + make_interval(secs => taken),
        seconds = seconds + taken,
        state = case when hours.balance(s.user_id) = 0 then 'exhausted' else state end,
        ended_at = case when hours.balance(s.user_id) = 0 then greatest(p_at, started_at) end
    where id = s.id;
    return taken;
end $$;

-- A page is open, and its user was active p_idle seconds ago: go on with the user's one session, or begin it.
-- A beat that comes more than 75 s after the last one finds the session ended there: what nobody saw is not charged.
-- Five minutes after the last activity the session is idle and costs nothing until there is activity again. A page that
-- opens (p_opening) after the last one was closed begins anew: the time between costs nothing.
create function hours.beat(
    p_user uuid, p_idle double precision, p_at timestamptz, p_page uuid default null, p_opening boolean default false
) returns text
    language plpgsql set search_path = '' as $$
declare
    s public.usage_sessions;
    active timestamptz := p_at - make_interval(secs => greatest(0, least(coalesce(p_idle, 0), 86400)));
    idle_after constant interval := '5 minutes';
    seen timestamptz;
begin
    loop
        select * into s from public.usage_sessions where user_id = p_user and ended_at is null for update;
        if found and s.state <> 'paused' and p_at - s.seen_at > interval '75 seconds' then
            update public.usage_sessions set state = 'ended', ended_at = seen_at where id = s.id;
            continue;
        end if;
        exit when found;
        if not exists (select from public.hour_grants where user_id = p_user and remaining > 0
                       and (expires_at is null or expires_at > p_at)) then
            return 'exhausted';
        end if;
        if active + idle_after <= p_at then
            return 'idle';
        end if;
        insert into public.usage_sessions (user_id, started_at, billed_through, seen_at, active_at)
        values (p_user, p_at, p_at, p_at, active)
        on conflict (user_id) where ended_at is null do nothing;
    end loop;
    seen := greatest(p_at, s.seen_at);
    if s.state = 'paused' then
        update public.usage_sessions set seen_at = seen where id = s.id;
        return 'paused';
    end if;
    if p_opening and s.left_at is not null then
        update public.usage_sessions
        set billed_through = greatest(billed_through, seen), active_at = greatest(active_at, active)
        where id = s.id
        returning * into s;
    end if;
    if active > s.active_at + idle_after then
        -- Back after a pause for idleness: nothing is due for the time between.
        perform hours.charge(s.id, s.active_at + idle_after, p_at);
        update public.usage_sessions set billed_through = greatest(billed_through, active)
        where id = s.id and ended_at is null;
    end if;
    update public.usage_sessions
    set seen_at = seen, active_at = greatest(active_at, active), left_at = null,
        pages = case when p_page is null or p_page = any (pages) or cardinality(pages) >= 100 then pages
                     else pages || p_page end,
        state = case when greatest(active_at, active) + idle_after > seen then 'running' else 'idle' end
    where id = s.id and ended_at is null
    returning * into s;
    if not found then
        return 'exhausted';
    end if;
    perform hours.charge(s.id, least(s.seen_at, s.active_at + idle_after), p_at);
    return (select state from public.usage_sessions where id = s.id);
end $$;

-- A page is closed: charge up to now. When it was the last that is known, nothing more is due until one opens.
create function hours.leave(p_user uuid, p_idle double precision, p_at timestamptz, p_page uuid) returns text
    language plpgsql set search_path = '' as $$
declare
    now_is text;
begin
    if not exists (select from public.usage_sessions where user_id = p_user and ended_at is null
                   and p_at - seen_at <= interval '75 seconds') then
        return 'off';
    end if;
    now_is := hours.beat(p_user, p_idle, p_at, p_page);
    update public.usage_sessions
    set pages = array_remove(pages, p_page), left_at = case when pages <@ array[p_page] then seen_at end
    where user_id = p_user and ended_at is null and state <> 'paused';
    return now_is;
end $$;

-- Stop by hand until `hours.resume`, on every page of the user.
create function hours.pause(p_user uuid, p_at timestamptz) returns text language plpgsql set search_path = '' as $$
declare
    s public.usage_sessions;
begin
    loop
        select * into s from public.usage_sessions where user_id = p_user and ended_at is null for update;
        exit when found;
        insert into public.usage_sessions (user_id, state, started_at, billed_through, seen_at, active_at)
        values (p_user, 'paused', p_at, p_at, p_at, p_at)
        on conflict (user_id) where ended_at is null do nothing;
    end loop;
    if s.state = 'running' then
        perform hours.charge(
            s.id,
            least(case when p_at - s.seen_at > interval '75 seconds' then s.seen_at else greatest(p_at, s.seen_at) end,
                  s.active_at + interval '5 minutes'),
            p_at);
    end if;
    update public.usage_sessions set state = 'paused', seen_at = greatest(seen_at, p_at)
    where id = s.id and ended_at is null;
    return coalesce((select state from public.usage_sessions where id = s.id), 'off');
end $$;

create function hours.resume(p_user uuid, p_at timestamptz) returns text language plpgsql set search_path = '' as $$
begin
    update public.usage_sessions
    set state = 'running', billed_through = greatest(billed_through, p_at), seen_at = greatest(seen_at, p_at),
        active_at = greatest(active_at, p_at)
    where user_id = p_user and ended_at is null and state = 'paused';
    return hours.beat(p_user, 0, p_at);
end $$;

-- Give seconds to a user, once for a key.
create function hours.give(
    p_user uuid, p_seconds bigint, p_source text, p_label text, p_key text, p_priority integer, p_expires timestamptz,
    p_at timestamptz
) returns boolean language plpgsql set search_path = '' as $$
declare
    made uuid;
begin
    perform hours.lock_account(p_user);
    insert into public.hour_grants (user_id, source, label, seconds, remaining, priority, expires_at, key, created_at)
    values (p_user, p_source, p_label, p_seconds, p_seconds, p_priority, p_expires, p_key, p_at)
    on conflict (key) do nothing
    returning id into made;
    if made is null then
        return false;
    end if;
    insert into public.hour_ledger (user_id, grant_id, kind, label, seconds, balance, key, at)
    values (p_user, made, 'grant', p_label, p_seconds, hours.balance(p_user), p_key, p_at);
    perform hours.lapse(p_user, p_at);
    return true;
end $$;

-- Hold the quote of a job. Returns 0, or the seconds that are missing, and then nothing was held.
create function hours.reserve(p_job uuid, p_seconds bigint, p_at timestamptz) returns bigint
    language plpgsql set search_path = '' as $$
declare
    j record;
    held uuid := gen_random_uuid();
    missing bigint;
begin
    select user_id, title into j from public.jobs where id = p_job and state in ('queued', 'running') for update;
    if not found then
        raise exception 'only an open job can hold hours' using errcode = 'check_violation';
    end if;
    perform hours.lock_account(j.user_id);
    perform hours.lapse(j.user_id, p_at);
    missing := p_seconds - hours.balance(j.user_id);
    if missing > 0 then
        return missing;
    end if;
    insert into public.hour_reservations (id, user_id, job_id, seconds, held_at)
    values (held, j.user_id, p_job, p_seconds, p_at);
    perform hours.take(j.user_id, p_seconds, 'job', j.title, 'job:' || held, null, p_job, p_at);
    update public.jobs set quote = p_seconds, charged = null where id = p_job;
    return 0;
end $$;

-- Keep the lesser of what was held and what was measured (null: the job did not succeed), and give the rest back to the
-- grants it came from, the last one first. What came from a grant that has expired since comes back as a grant of its
-- own, good for a week.
create function hours.settle(p_job uuid, p_measured bigint, p_at timestamptz) returns bigint
    language plpgsql set search_path = '' as $$
declare
    r public.hour_reservations;
    e record;
    kept bigint;
    left_over bigint;
    part bigint;
    given uuid;
begin
    select * into r from public.hour_reservations where job_id = p_job and settled_at is null;
    if not found then
        return null;
    end if;
    perform hours.lock_account(r.user_id);
    select * into r from public.hour_reservations where id = r.id and settled_at is null for update;
    if not found then
        return null;
    end if;
    kept := least(r.seconds, greatest(0, coalesce(p_measured, 0)));
    left_over := r.seconds - kept;
    for e in select l.grant_id, -l.seconds as seconds, l.label, g.expires_at <= p_at as expired, g.priority
             from public.hour_ledger l
             join public.hour_grants g on g.id = l.grant_id
             where l.key = 'job:' || r.id
             order by l.id desc
    loop
        exit when left_over = 0;
        part := least(left_over, e.seconds);
        left_over := left_over - part;
        if e.expired then
            insert into public.hour_grants (user_id, source, label, seconds, remaining, priority, expires_at, key, created_at)
            values (r.user_id, 'refund', 'Returned hours', part, part, e.priority, p_at + interval '7 days',
                    'refund:' || r.id || ':' || e.grant_id, p_at)
            returning id into given;
        else
            update public.hour_grants set remaining = remaining + part where id = e.grant_id;
            given := e.grant_id;
        end if;
        insert into public.hour_ledger (user_id, grant_id, kind, label, seconds, balance, key, job_id, at)
        values (r.user_id, given, 'refund', e.label || case when p_measured is null then ', returned' else ', not used' end,
                part, hours.balance(r.user_id), 'refund:' || r.id, p_job, p_at);
    end loop;
    update public.hour_reservations set charged = kept, settled_at = p_at where id = r.id;
    return kept;
end $$;

-- However a job ends, its reservation ends with it.
create function hours.settle_job() returns trigger
    language plpgsql security definer set search_path = '' as $$
begin
    new.charged := hours.settle(
        new.id,
        case when new.state = 'succeeded'
             then floor(extract(epoch from clock_timestamp() - coalesce(new.claimed_at, clock_timestamp())))::bigint end,
        clock_timestamp());
    return new;
end $$;
create trigger jobs_settle before update of state on public.jobs for each row
    when (new.state in ('succeeded', 'failed', 'cancelled') and old.state in ('queued', 'running'))
    execute function hours.settle_job();

create trigger hour_ledger_immutable before update on public.hour_ledger
    for each row execute function public.refuse_change();

-- What may be called, with the clock of the database.

create function hours.check_caller(p_user uuid) returns void language plpgsql set search_path = '' as $$
begin
    if session_user <> 'variosync_worker' and p_user is distinct from auth.uid() then
        raise exception 'these hours are not yours' using errcode = 'insufficient_privilege';
    end if;
end $$;

-- Jobs are ordered by the server, which asks for their quote, and not by who speaks to the database through its own API.
create function hours.check_server() returns void language plpgsql set search_path = '' as $$
begin
    if not (pg_has_role(session_user, 'variosync_app', 'member')
            or pg_has_role(session_user, 'variosync_worker', 'member')) then
        raise exception 'jobs are ordered through the server' using errcode = 'insufficient_privilege';
    end if;
end $$;

create function public.beat_hours(
    p_user uuid, p_idle double precision, p_page uuid default null, p_opening boolean default false
) returns text language plpgsql security definer set search_path = '' as $$
begin
    perform hours.check_caller(p_user);
    return hours.beat(p_user, p_idle, clock_timestamp(), p_page, p_opening);
end $$;

create function public.leave_hours(p_user uuid, p_idle double precision, p_page uuid) returns text
    language plpgsql security definer set search_path = '' as $$
begin
    perform hours.check_caller(p_user);
    return hours.leave(p_user, p_idle, clock_timestamp(), p_page);
end $$;

create function public.pause_hours(p_user uuid) returns text
    language plpgsql security definer set search_path = '' as $$
begin
    perform hours.check_caller(p_user);
    return hours.pause(p_user, clock_timestamp());
end $$;

create function public.resume_hours(p_user uuid) returns text
    language plpgsql security definer set search_path = '' as $$
begin
    perform hours.check_caller(p_user);
    return hours.resume(p_user, clock_timestamp());
end $$;

create function public.reserve_hours(p_job uuid, p_seconds bigint) returns bigint
    language plpgsql security definer set search_path = '' as $$
begin
    perform hours.check_server();
    perform hours.check_caller((select user_id from public.jobs where id = p_job));
    return hours.reserve(p_job, p_seconds, clock_timestamp());
end $$;

create function public.give_hours(
    p_user uuid, p_seconds bigint, p_source text, p_label text, p_key text, p_priority integer, p_expires timestamptz
) returns boolean language plpgsql security definer set search_path = '' as $$
begin
    return hours.give(p_user, p_seconds, p_source, p_label, p_key, p_priority, p_expires, clock_timestamp());
end $$;

-- End what was abandoned and write off what has expired; returns the users whose balance changed.
create function public.sweep_hours() returns setof uuid
    language plpgsql security definer set search_path = '' as $$
declare
    holder uuid;
begin
    update public.usage_sessions set state = 'ended', ended_at = seen_at
    where id in (select id from public.usage_sessions
                 where ended_at is null and state <> 'paused' and seen_at < clock_timestamp() - interval '75 seconds'
                 order by id limit 1000 for update skip locked);
    -- Viewing that goes on is charged first, by the next beat: the seconds before the expiry are paid by what expired.
    for holder in select distinct g.user_id from public.hour_grants g
                  where g.remaining > 0 and g.expires_at <= clock_timestamp()
                    and not exists (select from public.usage_sessions s
                                    where s.user_id = g.user_id and s.ended_at is null and s.state = 'running')
                  order by g.user_id limit 1000
    loop
        perform hours.lock_account(holder);
        if hours.lapse(holder, clock_timestamp()) > 0 then
            return next holder;
        end if;
    end loop;
end $$;

revoke all on schema hours from public, anon, authenticated;
revoke all on all functions in schema hours from public, anon, authenticated;
revoke all on function public.beat_hours, public.leave_hours, public.pause_hours, public.resume_hours, public.reserve_hours,
    public.give_hours, public.sweep_hours from public, anon, authenticated;
grant execute on function public.beat_hours, public.leave_hours, public.pause_hours, public.resume_hours, public.reserve_hours
    to authenticated, variosync_worker;
grant execute on function public.give_hours, public.sweep_hours to variosync_worker;

do $$
declare
    t text;
begin
    foreach t in array array['hour_grants', 'hour_ledger', 'hour_reservations', 'usage_sessions']
    loop
        execute format('alter table public.%I enable row level security', t);
        execute format('alter table public.%I force row level security', t);
        execute format('revoke all on public.%I from anon, authenticated, public', t);
        execute format('create policy worker on public.%I for select to variosync_worker using (true)', t);
        execute format('create policy owner on public.%I for select to authenticated using (user_id = (select auth.uid()))', t);
        execute format('grant select on public.%I to authenticated, variosync_worker', t);
    end loop;
end $$;
revoke all on public.hour_balances from anon, authenticated, public;
grant select on public.hour_balances to authenticated, variosync_worker;
-- What a job costs is written by the functions alone.
revoke insert on public.jobs from authenticated;
grant insert (id, user_id, kind, title, payload, dataset_id, forecast_id) on public.jobs to authenticated;

alter table public.notices add column key text;
create unique index notices_key on public.notices (user_id, key) where key is not null;
comment on column public.notices.key is 'What is told once, such as that hours run low.';

-- Jobs that were open before there were hours go on at no cost: without a reservation none is begun.
insert into public.hour_reservations (user_id, job_id, seconds, held_at)
select user_id, id, 0, now() from public.jobs where state in ('queued', 'running');
