-- name: dashboard_insert
-- A new dashboard.
insert into public.dashboards (user_id, name, spec)
values (%(user_id)s, %(name)s, %(spec)s)
returning id, user_id, name, spec, revision, pinned, created_at, updated_at;

-- name: dashboard_keep
-- Keep a saved state of a dashboard.
insert into public.dashboard_revisions (user_id, dashboard_id, revision, spec)
values (%(user_id)s, %(id)s, %(revision)s, %(spec)s);

-- name: dashboard_forget
-- Let go of states that were saved long ago.
delete from public.dashboard_revisions where dashboard_id = %(id)s and revision <= %(revision)s;

-- name: dashboards_lock
-- Wait until no other page makes a dashboard of this user.
select pg_advisory_xact_lock(hashtextextended('dashboards/' || %(user_id)s::text, 0))::text as held;

-- name: dashboards_make_room
-- Remove for good as many dashboards, of those deleted first, as one more needs.
delete from public.dashboards where id in (
    select id from public.dashboards
    where user_id = %(user_id)s and deleted_at is not null
    order by deleted_at
    limit greatest(0, (select count(*) from public.dashboards where user_id = %(user_id)s) - %(most)s + 1)
)
returning id, name;

-- name: dashboards_count
-- How many dashboards the user has, deleted ones too.
select count(*) from public.dashboards where user_id = %(user_id)s;

-- name: dashboards_list
-- The user's dashboards without their panels, pinned ones first, then the latest change first.
select id, user_id, name, revision, pinned, created_at, updated_at,
       coalesce(jsonb_array_length(spec -> 'panels'), 0) as panels,
       coalesce((select jsonb_agg(found.dataset order by found.place)
                 from (select p.panel ->> 'dataset' as dataset, min(p.place) as place
                       from jsonb_array_elements(spec -> 'panels') with ordinality p (panel, place)
                       where p.panel ->> 'dataset' <> '' group by 1) found), '[]') as datasets
from public.dashboards
where deleted_at is null
order by pinned desc, updated_at desc;

-- name: dashboard_by_id
-- One dashboard.
select id, user_id, name, spec, revision, pinned, created_at, updated_at
from public.dashboards
where id = %(id)s and deleted_at is null;

-- name: dashboard_save
-- Give a dashboard another state, unless somebody else has since saved one.
update public.dashboards
set spec = %(spec)s, revision = revision + 1, updated_at = now()
where id = %(id)s and revision = %(revision)s and deleted_at is null
returning id, user_id, name, spec, revision, pinned, created_at, updated_at;

-- name: dashboard_rename
-- Give a dashboard another name.
update public.dashboards set name = %(name)s, updated_at = now() where id = %(id)s and deleted_at is null returning name;

-- name: dashboard_pin
-- Show a dashboard in the rail, or no longer.
update public.dashboards set pinned = %(pinned)s where id = %(id)s and deleted_at is null returning name;

-- name: dashboard_delete
-- Take a dashboard away.
update public.dashboards set deleted_at = now(), updated_at = now()
where id = %(id)s and deleted_at is null
returning name;

-- name: dashboard_deleted
-- A dashboard that was taken away.
select id, name, deleted_at from public.dashboards where id = %(id)s and deleted_at is not null;

-- name: dashboards_deleted
-- What the user took away and can bring back, the latest first.
select b.id, b.name, b.deleted_at,
       coalesce(jsonb_array_length(b.spec -> 'panels'), 0) as panels,
       coalesce((select l.api_key from public.audit_logs l
                 where l.about = b.id and l.action = 'dashboard deleted' order by l.id desc limit 1), '') as by
from public.dashboards b
where b.deleted_at is not null
order by b.deleted_at desc, b.id
limit %(limit)s::bigint offset %(offset)s;

-- name: dashboards_deleted_count
-- How many dashboards the user took away and can bring back.
select count(*) as count from public.dashboards where deleted_at is not null;

-- name: dashboard_undelete
-- Bring a dashboard back.
update public.dashboards set deleted_at = null, updated_at = now()
where id = %(id)s and deleted_at is not null
returning name;

-- name: dashboard_revisions
-- The saved states of a dashboard, the newest first.
select revision, saved_at, jsonb_array_length(spec -> 'panels') as panels
from public.dashboard_revisions
where dashboard_id = %(id)s
order by revision desc;

-- name: dashboard_revision
-- One saved state of a dashboard.
select spec from public.dashboard_revisions where dashboard_id = %(id)s and revision = %(revision)s;

-- name: dashboard_datasets
-- Which of these datasets are the user's, deleted ones too.
select id from public.datasets where id = any(%(ids)s);

-- name: rail
-- What stands in the rail of every page: how many there are of each, and the names of pinned dashboards.
-- Scoring is nobody's order and over in a second, so it is no job that somebody waits for.
select
    (select count(*) from public.datasets where deleted_at is null) as datasets,
    (select count(*) from public.dashboards where deleted_at is null) as dashboards,
    (select count(*) from public.forecasts where deleted_at is null) as forecasts,
    (select count(*) from public.jobs where state in ('queued', 'running') and kind <> 'score') as jobs,
    coalesce(
        (
            select jsonb_agg(jsonb_build_object('id', pins.id, 'name', pins.name) order by pins.created_at)
            from (
                select id, name, created_at
                from public.dashboards
                where pinned and deleted_at is null
                order by created_at
                limit 8
            ) as pins
        ),
        '[]'
    ) as pinned;
