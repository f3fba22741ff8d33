-- name: dashboards_remove
-- Remove for good the dashboards of all users that have been deleted for so long.
delete from public.dashboards where deleted_at < now() - %(kept)s::interval
returning id, user_id, name;

-- name: datasets_doom
-- Begin to remove the datasets of all users that have been deleted for so long; what has a job waits for its end.
update public.datasets d
set removing_at = now()
where d.deleted_at < now() - %(kept)s::interval and d.removing_at is null
  and not exists (select from public.jobs j where j.dataset_id = d.id and j.state in ('queued', 'running'));

-- name: forecasts_doom
-- Begin to remove the forecasts of all users that have been deleted for so long and were never issued.
-- What was issued goes on counting in the track record, and goes with its dataset alone.
update public.forecasts f
set removing_at = now()
where f.deleted_at < now() - %(kept)s::interval and f.removing_at is null and f.issued_at is null
  and not exists (select from public.jobs j where j.forecast_id = f.id and j.state in ('queued', 'running'));

-- name: datasets_doomed
-- Datasets whose removal has begun.
select id, user_id from public.datasets where removing_at is not null order by removing_at, id limit 1000;

-- name: forecasts_doomed
-- Forecasts whose removal has begun.
select id, user_id from public.forecasts where removing_at is not null order by removing_at, id limit 1000;

-- name: uploads_doomed
-- The files that were sent to a dataset.
select id from public.uploads where dataset_id = %(dataset_id)s;

-- name: jobs_doomed
-- Every job of a dataset, of its forecasts too, or of one forecast.
select id, user_id, kind, title, state, payload, progress, message, attempt, max_attempts, error, cancel_requested,
       dataset_id, forecast_id, created_at, started_at, finished_at, quote, charged
from public.jobs
where dataset_id = %(dataset_id)s::uuid or forecast_id = %(forecast_id)s::uuid
order by id;

-- name: dataset_forgettable
-- A dataset whose removal has begun, locked; none while a job of it is open, or when attempts came after those counted.
select d.name, d.source_id
from public.datasets d
where d.id = %(id)s and d.removing_at is not null
  and (select count(*) filter (where j.state in ('queued', 'running')) = 0 and coalesce(sum(j.attempt), 0) = %(attempts)s
       from public.jobs j where j.dataset_id = d.id)
for update;

-- name: forecast_forgettable
-- A forecast whose removal has begun, locked; none while a job of it is open, or when attempts came after those counted.
select f.name
from public.forecasts f
where f.id = %(id)s and f.removing_at is not null and f.issued_at is null
  and (select count(*) filter (where j.state in ('queued', 'running')) = 0 and coalesce(sum(j.attempt), 0) = %(attempts)s
       from public.jobs j where j.forecast_id = f.id)
for update;

-- name: uploads_empty
-- Forget what was sent to a dataset. The rows stay, so that nobody is sent a sample again that they have deleted.
update public.uploads
set state = 'discarded', name = 'removed', object_key = null, sha256 = null, options = '{}'
where dataset_id = %(id)s;

-- name: notices_of_dataset_remove
-- Remove the notices that lead to a dataset or to one of its forecasts.
delete from public.notices n
where n.user_id = %(user_id)s
  and (split_part(n.link, '?', 1) = '/datasets/' || %(id)s::uuid
       or split_part(n.link, '?', 1) in (select '/forecasts/' || f.id from public.forecasts f where f.dataset_id = %(id)s::uuid));

-- name: notices_of_forecast_remove
-- Remove the notices that lead to a forecast.
delete from public.notices n where n.user_id = %(user_id)s and split_part(n.link, '?', 1) = '/forecasts/' || %(id)s::uuid;

-- name: dataset_remove
-- Remove a dataset with its versions, jobs, forecasts and their scores.
delete from public.datasets where id = %(id)s;

-- name: forecast_remove
-- Remove a forecast that was never issued, with its jobs.
delete from public.forecasts where id = %(id)s and issued_at is null;

-- name: source_remove
-- Remove where a dataset came from.
delete from public.data_sources s
where s.id = %(id)s and not exists (select from public.datasets d where d.source_id = s.id);
