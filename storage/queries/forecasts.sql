-- name: forecast_insert
-- Record a forecast that was asked for.
insert into public.forecasts (user_id, dataset_id, version_id, name, request)
values (%(user_id)s, %(dataset_id)s, %(version_id)s, %(name)s, %(request)s)
returning id;

-- name: forecast_job
-- Name the job that works on a forecast.
update public.forecasts set job_id = %(job_id)s where id = %(id)s;

-- name: forecast_by_id
-- One forecast with its state, unless it was deleted and those are not asked for.
select f.id, f.user_id, f.dataset_id, f.version_id, v.number as version, d.name as dataset_name, f.name, f.request,
       f.result, f.job_id, coalesce(j.state, 'failed') as state, f.created_at, f.issued_at
from public.forecasts f
join public.datasets d on d.id = f.dataset_id
join public.dataset_versions v on v.id = f.version_id
left join public.jobs j on j.id = f.job_id
where f.id = %(id)s and (f.deleted_at is null or %(deleted)s::boolean);

-- name: forecasts_list
-- The user's forecasts with what a list shows, of one dataset or of all, the newest first.
select f.id, f.dataset_id, d.name as dataset_name, v.number as version, f.name, (f.request ->> 'h')::bigint as h,
       f.request -> 'models' as models, f.job_id, coalesce(j.state, 'failed') as state, f.created_at, f.issued_at
from public.forecasts f
join public.datasets d on d.id = f.dataset_id
join public.dataset_versions v on v.id = f.version_id
left join public.jobs j on j.id = f.job_id
where f.deleted_at is null
  and (%(dataset_id)s::uuid is null or f.dataset_id = %(dataset_id)s::uuid)
  and (%(query)s::text = '' or strpos(lower(f.name), lower(%(query)s)) > 0
       or strpos(lower(d.name), lower(%(query)s)) > 0)
order by f.created_at desc, f.id
limit %(limit)s::bigint offset %(offset)s;

-- name: forecasts_count
-- How many forecasts a list without bounds would hold, how many there are, and how many were deleted.
select count(*) filter (where f.deleted_at is null
                        and (%(dataset_id)s::uuid is null or f.dataset_id = %(dataset_id)s::uuid)
                        and (%(query)s::text = '' or strpos(lower(f.name), lower(%(query)s)) > 0
                             or strpos(lower(d.name), lower(%(query)s)) > 0)) as found,
       count(*) filter (where f.deleted_at is null) as total,
       count(*) filter (where least(f.deleted_at, d.deleted_at) > now() - %(kept)s::interval
                        and f.deleted_at is not null and f.removing_at is null and d.removing_at is null) as deleted
from public.forecasts f
join public.datasets d on d.id = f.dataset_id;

-- name: forecast_lock
-- One forecast, or that of a job, locked until the transaction ends: who deletes it and who runs its job again take turns.
select f.id
from public.forecasts f
where f.id = %(id)s::uuid or f.id = (select j.forecast_id from public.jobs j where j.id = %(job_id)s::uuid)
for no key update;

-- name: forecast_delete
-- Take a forecast away, unless it is still being made.
update public.forecasts f set deleted_at = now()
where f.id = %(id)s and f.deleted_at is null
  and not exists (select from public.jobs j where j.id = f.job_id and j.state in ('queued', 'running'))
returning f.name;

-- name: forecast_undelete
-- Bring a forecast back while it is kept, unless its removal for good, or that of its dataset, has begun.
update public.forecasts f set deleted_at = null
where f.id = %(id)s and f.deleted_at is not null and f.removing_at is null
  and exists (select from public.datasets d
              where d.id = f.dataset_id and d.removing_at is null
                and least(f.deleted_at, d.deleted_at) > now() - %(kept)s::interval
              for share)
returning f.name;

-- name: forecast_deleted
-- A forecast that was taken away and can be brought back.
select f.id, f.name, f.deleted_at, d.name as of, d.deleted_at as of_deleted_at, '' as by
from public.forecasts f
join public.datasets d on d.id = f.dataset_id
where f.id = %(id)s and f.deleted_at is not null and f.removing_at is null and d.removing_at is null
  and least(f.deleted_at, d.deleted_at) > now() - %(kept)s::interval;

-- name: forecasts_deleted
-- The forecasts that the user took away and can bring back, the latest deletion first.
select f.id, f.name, f.deleted_at, d.name as of, d.deleted_at as of_deleted_at,
       coalesce((select l.api_key from public.audit_logs l
                 where l.about = f.id and l.action = 'forecast deleted' order by l.id desc limit 1), '') as by
from public.forecasts f
join public.datasets d on d.id = f.dataset_id
where f.deleted_at is not null and f.removing_at is null and d.removing_at is null
  and least(f.deleted_at, d.deleted_at) > now() - %(kept)s::interval
order by f.deleted_at desc, f.id
limit %(limit)s::bigint offset %(offset)s;

-- name: forecasts_issued
-- The issued forecasts of a dataset with all that came of them, the newest first.
select f.id, f.user_id, f.dataset_id, f.version_id, v.number as version, d.name as dataset_name, f.name, f.request,
       f.result, f.job_id, coalesce(j.state, 'failed') as state, f.created_at, f.issued_at
from public.forecasts f
join public.datasets d on d.id = f.dataset_id
join public.dataset_versions v on v.id = f.version_id
left join public.jobs j on j.id = f.job_id
where f.dataset_id = %(dataset_id)s and f.issued_at is not null and f.deleted_at is null
order by f.created_at desc, f.id
limit %(limit)s;

-- name: forecasts_measured
-- What was measured of the models of the user's issued forecasts, deleted ones too, the newest first.
select f.issued_at as at, coalesce(f.result -> 'scores', '[]') as scores
from public.forecasts f
where f.issued_at is not null
order by f.created_at desc, f.id
limit %(limit)s;

-- name: forecast_issue
-- Record what came of a forecast.
update public.forecasts set result = %(result)s, issued_at = now() where id = %(id)s;

-- name: issued_insert
-- Add a file of one model's forecast to the ledger.
insert into public.issued_forecasts (forecast_id, user_id, model, part, cutoff, object_key, sha256, rows, code, seed)
values (%(forecast_id)s, %(user_id)s, %(model)s, %(part)s, %(cutoff)s, %(object_key)s, %(sha256)s, %(rows)s, %(code)s,
        %(seed)s);

-- name: issued_by_forecast
-- The ledger rows of a forecast.
select id, forecast_id, user_id, model, part, cutoff, object_key, sha256, rows, issued_at, code, seed
from public.issued_forecasts
where forecast_id = %(forecast_id)s
order by model, part;
