-- name: archive_profile
-- Who the user is and what they prefer.
select p.id, p.email, p.name, p.created_at, s.theme, s.time_zone, s.number_format
from public.profiles p
left join public.settings s on s.user_id = p.id;

-- name: archive_keys
-- The user's API keys, without what they are checked by.
select id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at
from public.api_keys
order by created_at, id;

-- name: archive_sessions
-- The user's sessions, without what they are checked by.
select id, user_agent, address, created_at, seen_at, expires_at
from public.sessions
order by created_at, id;

-- name: archive_grants
-- A page of the hours that the user was given, the oldest first.
select id, source, label, seconds, remaining, created_at, expires_at
from public.hour_grants
where %(id)s::uuid is null or (created_at, id) > (%(created_at)s::timestamptz, %(id)s::uuid)
order by created_at, id
limit 500;

-- name: archive_ledger
-- A page of the user's ledger, the oldest entry first.
select id, at, kind, label, seconds, balance, grant_id, job_id, session_id
from public.hour_ledger
where %(after)s::bigint is null or id > %(after)s::bigint
order by id
limit 500;

-- name: archive_audit
-- A page of what was done with the user's account, the oldest first.
select id, at, action, subject, address, api_key
from public.audit_logs
where %(after)s::bigint is null or id > %(after)s::bigint
order by id
limit 500;

-- name: archive_notices
-- A page of the user's notices, the oldest first.
select id, level, title, text, link, created_at, read_at
from public.notices
where %(id)s::uuid is null or (created_at, id) > (%(created_at)s::timestamptz, %(id)s::uuid)
order by created_at, id
limit 500;

-- name: archive_jobs
-- A page of the user's jobs, the oldest first.
select id, kind, title, state, attempt, message, error, quote, charged, dataset_id, forecast_id, created_at, started_at,
       finished_at
from public.jobs
where %(id)s::uuid is null or (created_at, id) > (%(created_at)s::timestamptz, %(id)s::uuid)
order by created_at, id
limit 500;

-- name: archive_datasets
-- Every dataset that is kept for the user, also those that were taken away.
select id, name, created_at, updated_at, deleted_at
from public.datasets
order by created_at, id;

-- name: archive_uploads
-- The files of a dataset that arrived whole.
select id, name, size, sha256, created_at, object_key
from public.uploads
where dataset_id = %(dataset_id)s and state = 'accepted'
order by created_at, id;

-- name: archive_version
-- The version that a dataset shows, also of one that was taken away.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.datasets d
join public.dataset_versions v on v.id = d.current_version
where d.id = %(dataset_id)s;

-- name: archive_forecasts
-- Every forecast of the user, the oldest first.
select id from public.forecasts order by created_at, id;

-- name: archive_issued
-- A page of the ledger of the user's forecasts, the oldest first.
select id, forecast_id, model, part, cutoff, sha256, rows, code, seed, issued_at
from public.issued_forecasts
where %(id)s::uuid is null or (issued_at, id) > (%(issued_at)s::timestamptz, %(id)s::uuid)
order by issued_at, id
limit 500;

-- name: archive_scores
-- A page of what became of issued forecasts, the oldest score first.
select id, issued_id, version_id, points, reaches, blocks, problem, code, scored_at
from public.forecast_scores
where %(id)s::uuid is null or (scored_at, id) > (%(scored_at)s::timestamptz, %(id)s::uuid)
order by scored_at, id
limit 500;

-- name: archive_dashboards
-- A page of the user's dashboards, the oldest first, also those that were taken away.
select id, name, spec, revision, pinned, created_at, updated_at, deleted_at
from public.dashboards
where %(id)s::uuid is null or (created_at, id) > (%(created_at)s::timestamptz, %(id)s::uuid)
order by created_at, id
limit 20;

-- name: archive_dashboard_states
-- A page of the saved states of the user's dashboards, the oldest first.
select id, dashboard_id, revision, saved_at, spec
from public.dashboard_revisions
where %(id)s::uuid is null or (saved_at, id) > (%(saved_at)s::timestamptz, %(id)s::uuid)
order by saved_at, id
limit 20;
