-- name: track_lock
-- One dataset, locked until the transaction ends, so that scoring of a version is ordered once.
select name from public.datasets where id = %(dataset_id)s and deleted_at is null for no key update;

-- name: track_shown
-- The version of a dataset that is shown: those above it were undone.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.datasets d
join public.dataset_versions v on v.id = d.current_version
where d.id = %(dataset_id)s;

-- name: track_open
-- A job that scores forecasts of a dataset and has not ended.
select id from public.jobs where dataset_id = %(dataset_id)s and kind = 'score' and state in ('queued', 'running') limit 1;

-- name: track_base
-- The last version before another one that was scored or compared: the one to compare that with.
-- None when that is done, or when there is no complete score that could be kept.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.dataset_versions n
join public.dataset_versions v on v.dataset_id = n.dataset_id and v.number < n.number
where n.id = %(version_id)s
  and not exists (select from public.version_changes c where c.version_id = n.id)
  and (exists (select from public.version_changes c where c.version_id = v.id)
       or exists (select from public.forecast_scores s where s.version_id = v.id))
  and exists (
      select from public.forecast_scores s
      join public.dataset_versions m on m.id = s.version_id
      where m.dataset_id = n.dataset_id and m.number < n.number and s.complete)
order by v.number desc
limit 1;

-- name: track_targets
-- What was forecast of a dataset and is a measure of two versions.
select distinct f.request ->> 'target' as target
from public.forecasts f
join public.dataset_versions n on n.id = %(version_id)s
join public.dataset_versions b on b.id = %(base_id)s
where f.dataset_id = n.dataset_id and f.issued_at is not null
  and n.manifest -> 'measures' ? (f.request ->> 'target') and b.manifest -> 'measures' ? (f.request ->> 'target')
order by target;

-- name: changes_insert
-- Note where a measure of a version differs from an earlier one; what a user may have put into the job is compared as text.
insert into public.version_changes (user_id, version_id, base_id, target, ranges)
select n.user_id, n.id, b.id, %(target)s, %(ranges)s::jsonb
from public.dataset_versions n
join public.dataset_versions b on b.dataset_id = n.dataset_id and b.id::text = %(base_id)s and b.number < n.number
where n.id::text = %(version_id)s and n.user_id = %(user_id)s
on conflict (version_id, target) do nothing;

-- name: track_pending
-- Files issued from earlier versions of a dataset that a version has not been scored for, the newest first.
-- Left out are those with a complete score of a version that it goes back to, if the values that this is about are the same
-- by all comparisons from there to here. Left out are too, unless the version is `compared`, all with such a score.
with recursive path as (
    select c.target, c.base_id, c.ranges, 1 as depth from public.version_changes c where c.version_id = %(version_id)s
    union all
    select c.target, c.base_id, c.ranges, p.depth + 1
    from public.version_changes c
    join path p on c.version_id = p.base_id and c.target = p.target
)
select i.id, i.object_key, i.sha256, f.result ->> 'prefix' as prefix, f.result -> 'history' as history, f.request
from public.dataset_versions n
join public.forecasts f on f.dataset_id = n.dataset_id
join public.dataset_versions v on v.id = f.version_id and v.number < n.number
join public.issued_forecasts i on i.forecast_id = f.id
where n.id = %(version_id)s
  -- A what-if tells of a future that nobody expects.
  and coalesce(f.request -> 'changes', '{}') in ('{}', 'null')
  and n.manifest -> 'measures' ? (f.request ->> 'target')
  and not exists (select from public.forecast_scores s where s.issued_id = i.id and s.version_id = n.id)
  and not exists (
      select from public.forecast_scores s
      join public.dataset_versions m on m.id = s.version_id and n.line @> m.number
      join path p on p.base_id = s.version_id and p.target = f.request ->> 'target'
      where s.issued_id = i.id and s.complete and not exists (
          select from path q
          cross join lateral jsonb_array_elements(q.ranges) r
          where q.target = p.target and q.depth <= p.depth
            and (r ->> 0)::timestamptz < s.until and (r ->> 1)::timestamptz > s.since))
  and (%(compared)s or not exists (
      select from public.forecast_scores s
      join public.dataset_versions m on m.id = s.version_id and m.number < n.number and n.line @> m.number
      where s.issued_id = i.id and s.complete))
order by i.issued_at desc, i.id
limit %(limit)s;

-- name: score_insert
-- Add the score of an issued file on a version.
insert into public.forecast_scores (
    user_id, issued_id, version_id, points, reaches, blocks, complete, since, until, problem, code)
select i.user_id, i.id, %(version_id)s, %(points)s, %(reaches)s, %(blocks)s::jsonb, %(complete)s, %(since)s::timestamptz,
       %(until)s::timestamptz, %(problem)s, %(code)s
from public.issued_forecasts i
where i.id = %(issued_id)s and i.user_id = %(user_id)s
on conflict (issued_id, version_id) do nothing;

-- name: score_failed
-- Note that scoring an issued file alone ended its job; what a user may have put into the job is compared as text.
insert into public.forecast_scores (user_id, issued_id, version_id, points, reaches, blocks, problem, code)
select i.user_id, i.id, v.id, 0, false, '[]', %(problem)s, ''
from public.issued_forecasts i
join public.dataset_versions v on v.user_id = i.user_id and v.id::text = %(version_id)s
where i.id::text = %(issued_id)s and i.user_id = %(user_id)s
on conflict (issued_id, version_id) do nothing;

-- name: track_dead
-- How many files are known whose scoring on a version ended its job.
select count(*) as files from public.forecast_scores where version_id::text = %(version_id)s and code = '';

-- name: track_issued
-- How many forecasts were issued, of one dataset or of all, by one model or by all; what-ifs are not scored.
select count(*) as forecasts
from public.forecasts f
where f.issued_at is not null and (%(dataset_id)s::uuid is null or f.dataset_id = %(dataset_id)s::uuid)
  and coalesce(f.request -> 'changes', '{}') in ('{}', 'null')
  and (%(model)s::text is null or exists (
      select from public.issued_forecasts i where i.forecast_id = f.id and i.model = %(model)s::text));

-- name: track_waiting
-- Issued forecasts of which no value has come yet, and whose dataset is still there; those of the earliest cutoff first.
select f.id as forecast_id, f.name, d.name as dataset_name, f.request, v.manifest, max(i.cutoff) as cutoff,
       count(*) over () as total
from public.forecasts f
join public.datasets d on d.id = f.dataset_id
join public.dataset_versions v on v.id = f.version_id
join public.issued_forecasts i on i.forecast_id = f.id
where f.issued_at is not null and f.deleted_at is null and d.deleted_at is null
  and (%(dataset_id)s::uuid is null or f.dataset_id = %(dataset_id)s::uuid)
  and (%(model)s::text is null or i.model = %(model)s::text)
  and coalesce(f.request -> 'changes', '{}') in ('{}', 'null')
  and not exists (select from public.forecast_record r where r.forecast_id = f.id)
group by f.id, d.id, v.id
order by cutoff, f.id
limit %(limit)s;

-- name: track_sums
-- Sums of the scores that count, in all, by model, by block of the horizon, and by both; null stands for all.
-- What was issued once more from the same cutoff is no further evidence: the first one counts.
with record as (
    select r.*, row_number() over (
        partition by r.dataset_id, r.model, r.part, r.cutoff, r.request - array['windows', 'adapted', 'models', 'budget']
        order by r.issued_at, r.issued_id) as turn
    from public.forecast_record r
    where (%(dataset_id)s::uuid is null or r.dataset_id = %(dataset_id)s::uuid)
      and (%(forecast_id)s::uuid is null or r.forecast_id = %(forecast_id)s::uuid)
      and (%(model)s::text is null or r.model = %(model)s::text)
), blocks as (
    select r.model, r.forecast_id, b.*
    from record r
    cross join lateral jsonb_to_recordset(r.blocks) as b (
        first integer, last integer, points bigint, smape float8, scaled bigint, abs float8, square float8, drawn bigint,
        pinball float8, levels jsonb
    )
    where r.turn = 1
), sums as (
    select model, first, max(last) as last, count(distinct forecast_id) as forecasts, sum(points)::bigint as points,
           sum(smape) as smape, sum(scaled)::bigint as scaled, sum(abs) as abs, sum(square) as square,
           sum(drawn)::bigint as drawn, sum(pinball) as pinball
    from blocks
    group by grouping sets ((), (model), (first), (model, first))
), held as (
    select model, first, l.level, sum((l.held ->> 'points')::bigint)::bigint as points,
           sum((l.held ->> 'inside')::bigint)::bigint as inside, sum((l.held ->> 'scaled')::bigint)::bigint as scaled,
           sum((l.held ->> 'width')::float8) as width
    from blocks
    cross join lateral jsonb_each(levels) as l (level, held)
    group by grouping sets ((l.level), (model, l.level), (first, l.level), (model, first, l.level))
)
select s.model, s.first, case when s.first is not null then s.last end as last, s.forecasts, s.points, s.smape, s.scaled,
       s.abs, s.square, s.drawn, s.pinball,
       (select jsonb_object_agg(h.level, jsonb_build_object(
            'points', h.points, 'inside', h.inside, 'scaled', h.scaled, 'width', h.width))
        from held h
        where h.model is not distinct from s.model and h.first is not distinct from s.first) as levels
from sums s
where s.points > 0
order by s.model nulls first, s.first nulls first;

-- name: track_forecasts
-- What became of each model of each forecast, the one that was issued last first; a deleted one opens while it is kept.
with scored as (
    select r.forecast_id, r.model, max(r.cutoff) as cutoff, max(r.version) as version, max(r.issued_at) as issued_at
    from public.forecast_record r
    where (%(dataset_id)s::uuid is null or r.dataset_id = %(dataset_id)s::uuid)
      and (%(model)s::text is null or r.model = %(model)s::text)
    group by r.forecast_id, r.model
    order by issued_at desc, r.forecast_id, r.model
    limit %(limit)s
), sums as (
    select s.forecast_id, s.model, sum(b.points)::bigint as points, sum(b.scaled)::bigint as scaled, sum(b.abs) as abs
    from scored s
    join public.forecast_record r using (forecast_id, model)
    cross join lateral jsonb_to_recordset(r.blocks) as b (points bigint, scaled bigint, abs float8)
    group by s.forecast_id, s.model
), held as (
    select s.forecast_id, s.model, l.level, sum((l.held ->> 'points')::bigint)::bigint as points,
           sum((l.held ->> 'inside')::bigint)::bigint as inside
    from scored s
    join public.forecast_record r using (forecast_id, model)
    cross join lateral jsonb_array_elements(r.blocks) as b
    cross join lateral jsonb_each(b -> 'levels') as l (level, held)
    group by s.forecast_id, s.model, l.level
)
select s.forecast_id, f.name, f.deleted_at is not null as deleted,
       f.deleted_at is null or least(f.deleted_at, d.deleted_at) > now() - %(kept)s::interval as opens,
       f.dataset_id, d.name as dataset_name, s.model, s.cutoff, s.version, s.issued_at, m.points, m.scaled, m.abs,
       (select jsonb_object_agg(h.level, jsonb_build_object('points', h.points, 'inside', h.inside))
        from held h
        where h.forecast_id = s.forecast_id and h.model = s.model) as levels
from scored s
join sums m using (forecast_id, model)
join public.forecasts f on f.id = s.forecast_id
join public.datasets d on d.id = f.dataset_id
order by s.issued_at desc, s.forecast_id, s.model;

-- name: track_scorings
-- Each time that a forecast was scored, by model, the newest version first.
select i.model, v.number as version, sum(s.points)::bigint as points, max(s.scored_at) as scored_at, max(s.problem) as problem
from public.forecast_scores s
join public.issued_forecasts i on i.id = s.issued_id
join public.dataset_versions v on v.id = s.version_id
where i.forecast_id = %(forecast_id)s
group by i.model, v.number
order by v.number desc, i.model;

-- name: track_held
-- What the bands of the forecasts of a target held, by model and level, in the order of their cutoffs.
-- Forecasts of one cutoff met the same values, so that they count as one: the mean of their shares, and of how many points they had.
with held as (
    select r.model, l.level, max(r.cutoff) as cutoff, sum((l.held ->> 'points')::bigint) as points,
           sum((l.held ->> 'inside')::bigint) as inside
    from public.forecast_record r
    cross join lateral jsonb_array_elements(r.blocks) as b
    cross join lateral jsonb_each(b -> 'levels') as l (level, held)
    where r.dataset_id = %(dataset_id)s and r.request ->> 'target' = %(target)s and r.model = any(%(models)s)
      and r.request ->> 'step' is not distinct from %(step)s::text
      and (%(step)s::text is null or r.request ->> 'aggregate' = %(aggregate)s::text)
    group by r.forecast_id, r.model, l.level
)
select model, level, avg(inside / points)::float8 as share, round(avg(points))::bigint as points
from held
where points > 0
group by model, level, cutoff
order by cutoff, model, level;
