-- name: hours_balance
-- What the user can use now, what is held for jobs, and how viewing stands.
select seconds, reserved, expires_next, viewing
from public.hour_balances
where user_id = %(user_id)s;

-- name: hours_beat
-- A page is open: charge what has passed and go on, or begin. The state is that of viewing.
select public.beat_hours(%(user_id)s, %(idle)s, %(page)s, %(opening)s) as state;

-- name: hours_leave
-- A page is closed: charge what has passed; after the last one the clock stands still.
select public.leave_hours(%(user_id)s, %(idle)s, %(page)s) as state;

-- name: hours_pause
-- Stop viewing by hand, on every page of the user.
select public.pause_hours(%(user_id)s) as state;

-- name: hours_resume
-- Go on viewing.
select public.resume_hours(%(user_id)s) as state;

-- name: hours_reserve
-- Hold a job's quote; `missing` is what the balance lacks, and then nothing is held.
select public.reserve_hours(%(job_id)s, %(seconds)s) as missing;

-- name: hours_give
-- Give a user seconds, once for a key.
select public.give_hours(
    %(user_id)s, %(seconds)s, %(source)s, %(label)s, %(key)s, %(priority)s, %(expires_at)s
) as given;

-- name: hours_sweep
-- End abandoned sessions and write off expired hours; the users whose balance changed.
select * from public.sweep_hours() as user_id;

-- name: hours_grants
-- The grants that can still be used, in the order in which they are.
select id, user_id, source, label, seconds, remaining, expires_at, created_at
from public.hour_grants
where user_id = %(user_id)s and remaining > 0 and (expires_at is null or expires_at > now())
order by priority, expires_at nulls last, created_at, id;

-- name: hours_ledger
-- Ledger entries, the newest first; what one charge took from several grants is one line.
select min(id) as id, kind, max(label) as label, sum(seconds)::bigint as seconds,
       (array_agg(balance order by id desc))[1] as balance, max(at) as at, job_id, session_id
from public.hour_ledger
where user_id = %(user_id)s and (%(before)s::bigint is null or id < %(before)s::bigint)
  and (%(kind)s::text is null or kind = %(kind)s::text)
group by key, kind, job_id, session_id
order by max(id) desc
limit %(limit)s;

-- name: hours_ledger_grouped
-- Like hours_ledger, with the viewing of a session in one line as long as nothing else comes between.
with entries as (
    select id, kind, label, seconds, balance, at, job_id, session_id, key
    from public.hour_ledger
    where user_id = %(user_id)s and (%(before)s::bigint is null or id < %(before)s::bigint)
      and (%(kind)s::text is null or kind = %(kind)s::text)
    order by id desc
    limit 20000
), marked as (
    select *, case when kind = lag(kind) over newest
                        and (session_id = lag(session_id) over newest or key = lag(key) over newest) then 0 else 1 end as first
    from entries
    window newest as (order by id desc)
), lines as (
    select *, sum(first) over (order by id desc) as line
    from marked
)
select min(id) as id, kind, (array_agg(label order by id desc))[1] as label, sum(seconds)::bigint as seconds,
       (array_agg(balance order by id desc))[1] as balance, max(at) as at, job_id, session_id
from lines
group by line, kind, job_id, session_id
order by max(id) desc
limit %(limit)s;

-- name: hours_usage
-- Seconds used on each of the last days of a time zone, by what used them.
with used as (
    select (at at time zone %(time_zone)s)::date as day, 'viewing' as kind, -seconds as seconds
    from public.hour_ledger
    where user_id = %(user_id)s and kind = 'viewing' and at >= now() - make_interval(days => %(days)s + 1)
    union all
    select (r.settled_at at time zone %(time_zone)s)::date, j.kind, r.charged
    from public.hour_reservations r
    join public.jobs j on j.id = r.job_id
    where r.user_id = %(user_id)s and r.settled_at >= now() - make_interval(days => %(days)s + 1)
)
select days.day::date as day,
       coalesce(sum(seconds) filter (where used.kind = 'viewing'), 0)::bigint as viewing,
       coalesce(sum(seconds) filter (where used.kind = 'convert'), 0)::bigint as convert,
       coalesce(sum(seconds) filter (where used.kind = 'forecast'), 0)::bigint as forecast
from generate_series((now() at time zone %(time_zone)s)::date - (%(days)s - 1),
                     (now() at time zone %(time_zone)s)::date, interval '1 day') as days (day)
left join used on used.day = days.day
group by days.day
order by days.day;

-- name: hours_account
-- The account with this email.
select id, email from public.profiles where email = %(email)s;

-- name: hours_given
-- How often a user was given hours.
select count(*) as count from public.hour_grants where user_id = %(user_id)s and source <> 'refund';
