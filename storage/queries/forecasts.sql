-- name: forecast_insert
-- Record a forecast that was asked for.
insert into public.forecasts (user_id, dataset_id, version_id, name, request)
values (%(user_id)s, %(dataset_id)s, %(version_id)s, %(name)s, %(request)s)
returning id;

-- name: forecast_job
-- Name the job that works on a forecast.
update public.forecasts set job_id = %(job_id)s where id = %(id)s;

-- name: forecast_by_id
-- One forecast with its state.
select f.id, f.user_id, f.dataset_id, f.version_id, v.number as version, d.name as dataset_name, f.name, f.request,
       f.result, f.job_id, coalesce(j.state, 'failed') as state, f.created_at, f.issued_at
from public.forecasts f
join public.datasets d on d.id = f.dataset_id
join public.dataset_versions v on v.id = f.version_id
left join public.jobs j on j.id = f.job_id
where f.id = %(id)s;

-- name: forecasts_list
-- The user's forecasts, of one dataset or of all, the newest first.
select f.id, f.user_id, f.dataset_id, f.version_id, v.number as version, d.name as dataset_name, f.name, f.request,
       f.result, f.job_id, coalesce(j.state, 'failed') as state, f.created_at, f.issued_at
from public.forecasts f
join public.datasets d on d.id = f.dataset_id
join public.dataset_versions v on v.id = f.version_id
left join public.jobs j on j.id = f.job_id
where %(dataset_id)s::uuid is null or f.dataset_id = %(dataset_id)s::uuid
order by f.created_at desc
limit 500;

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
