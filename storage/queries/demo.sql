-- name: demo_lock
-- Wait until nobody else fills this user's sample workspace; held until the transaction ends.
select pg_advisory_xact_lock(hashtextextended('demo/' || %(user_id)s::text, 0))::text as held;

-- name: demo_samples
-- The user's present samples and how far each has come.
select u.id as upload_id, u.sample, u.name, u.state, u.dataset_id, d.deleted_at is not null as deleted,
       d.current_version is not null as converted,
       exists (select from public.jobs j
               where j.dataset_id = d.id and j.kind = 'convert' and j.state in ('queued', 'running')) as converting,
       exists (select from public.forecasts f where f.dataset_id = d.id) as asked,
       exists (select from public.forecasts f join public.jobs j on j.id = f.job_id
               where f.dataset_id = d.id and j.state in ('queued', 'running')) as awaited,
       exists (select from public.forecasts f where f.dataset_id = d.id and f.issued_at is not null) as issued
from public.uploads u
left join public.datasets d on d.id = u.dataset_id
where u.sample is not null and u.sample <> 'former';

-- name: demo_story
-- How far the story of a sample has come: its first forecast, whether that was scored, and its dashboard.
-- Without `deleted` dashboards that were taken away are passed over. It is `over` once there was one, or all was filled.
select d.id as dataset_id,
       (select (v.manifest ->> 'faults_total')::bigint from public.dataset_versions v
        where v.dataset_id = d.id and v.number = 1) as faults,
       case when f.deleted_at is null then f.id end as forecast_id, f.issued_at is not null as issued,
       exists (select from public.issued_forecasts i join public.forecast_scores s on s.issued_id = i.id
               where i.forecast_id = f.id and s.points > 0) as scored,
       (select b.id from public.dashboards b
        where b.spec -> 'panels' @> jsonb_build_array(jsonb_build_object('id', %(panel)s::text, 'dataset', d.id::text))
          and (%(deleted)s::boolean or b.deleted_at is null)
        order by b.created_at limit 1) as dashboard_id,
       ((select p.demo_at is not null from public.profiles p where p.id = u.user_id)
        or exists (select from public.dashboards b
                   where b.spec -> 'panels' @> jsonb_build_array(
                       jsonb_build_object('id', %(panel)s::text, 'dataset', d.id::text))))
       and not exists (select from public.jobs j
                       where j.dataset_id = d.id and j.kind = 'score' and j.state in ('queued', 'running')) as over
from public.uploads u
join public.datasets d on d.id = u.dataset_id and d.deleted_at is null
left join lateral (select * from public.forecasts o where o.dataset_id = d.id order by o.created_at limit 1) f on true
where u.sample = %(sample)s;

-- name: demo_replace
-- Make the present samples of a user former ones.
update public.uploads set sample = 'former' where user_id = %(user_id)s and sample is not null;

-- name: demo_filled
-- Record whether the sample workspace was filled to its end.
update public.profiles set demo_at = case when %(filled)s::boolean then now() end where id = %(user_id)s;

-- name: demo_was_filled
-- Whether the sample workspace was filled to its end.
select demo_at is not null as filled from public.profiles where id = %(user_id)s;

-- name: demo_waiting
-- Users whose sample workspace was begun, or cleared to be begun anew, and not filled, and on request the owner on the first start.
select p.id
from public.profiles p
where p.demo_at is null
  and (exists (select from public.uploads u where u.user_id = p.id and u.sample is not null)
       or (%(owner)s::boolean and p.owner and not exists (select from public.uploads u where u.user_id = p.id)));

-- name: first_steps
-- What a newcomer has done, and which datasets are samples, now or formerly.
select coalesce(max(s.faults_seen_at) is not null, false) as faults_seen,
       coalesce(max(s.first_steps_dismissed_at) is not null, false) as dismissed,
       coalesce(max(s.sample_dismissed_at) is not null, false) as sample_dismissed,
       array(select distinct u.dataset_id from public.uploads u
             where u.sample is not null and u.dataset_id is not null) as samples
from public.settings s
where s.user_id = %(user_id)s;

-- name: first_steps_faults_seen
-- Note that a user has looked at the faults of a dataset that is no sample, the first time.
insert into public.settings (user_id, faults_seen_at)
select %(user_id)s, now()
where not exists (select from public.uploads u where u.dataset_id = %(dataset_id)s and u.sample is not null)
on conflict (user_id) do update set faults_seen_at = now() where settings.faults_seen_at is null;

-- name: first_steps_dismiss
-- Note that a user wants to see the first steps no more.
insert into public.settings (user_id, first_steps_dismissed_at) values (%(user_id)s, now())
on conflict (user_id) do update set first_steps_dismissed_at = now();

-- name: sample_dismiss
-- Note that a user has seen enough of the way through the sample.
insert into public.settings (user_id, sample_dismissed_at) values (%(user_id)s, now())
on conflict (user_id) do update set sample_dismissed_at = now();
