-- name: metrics_read
-- What a scrape reads: open jobs, and what came between `since` and now; `settled` is what came up to `until`.
with marks as (
    -- Ids of the ledger near a time, read backwards from its end, so that no index on the time is needed.
    select coalesce((select max(id) from public.hour_ledger where at <= %(since)s), 0) as begin,
           coalesce((select max(id) from public.hour_ledger where at <= %(until)s), 0) as settled
), ended as materialized (
    select id, kind, state, charged, extract(epoch from finished_at - started_at) as seconds,
           finished_at <= %(until)s as settled
    from public.jobs
    where finished_at > %(since)s
)
select 'open' as figure, kind, state, true as settled, count(*)::double precision as value
from public.jobs
where state in ('queued', 'running')
group by kind, state
union all
select 'oldest', '', state, true,
       extract(epoch from now() - min(case state when 'queued' then created_at else coalesce(started_at, created_at) end))
from public.jobs
where state in ('queued', 'running')
group by state
union all
select 'ended', kind, state, settled, count(*) from ended group by kind, state, settled
union all
select 'rows', '', '', e.settled, sum(v.rows)
from ended e
join public.dataset_versions v on v.job_id = e.id
group by e.settled
union all
select 'forecast', '', '', settled, sum(seconds) from ended where kind = 'forecast' and seconds > 0 group by settled
union all
select 'charged', kind, '', settled, sum(charged) from ended where charged > 0 group by kind, settled
union all
select 'charged', 'viewing', '', l.id <= m.settled, -sum(l.seconds)
from marks m
join public.hour_ledger l on l.id > m.begin
where l.kind = 'viewing'
group by l.id <= m.settled;
