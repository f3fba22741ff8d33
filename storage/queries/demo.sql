-- name: demo_lock
-- Wait until nobody else fills this user's sample workspace; held until the transaction ends.
select pg_advisory_xact_lock(hashtextextended('demo/' || %(user_id)s::text, 0))::text as held;

-- name: demo_samples
-- The user's present samples and how far each has come.
select u.id as upload_id, u.sample, u.name, u.state, u.dataset_id, d.deleted_at is not null as deleted,
       d.current_version is not null as converted,
       exists (select from public.jobs j
               where j.dataset_id = d.id and j.kind = 'convert' and j.state in ('queued', 'running')) as converting,
       exists (select from public.forecasts f where f.dataset_id = d.id) as asked
from public.uploads u
left join public.datasets d on d.id = u.dataset_id
where u.sample is not null and u.sample <> 'former';

-- name: demo_mark
-- Say that an upload is a sample.
update public.uploads set sample = %(sample)s where id = %(id)s;

-- name: demo_replace
-- Make the present samples former ones.
update public.uploads set sample = 'former' where sample is not null;

-- name: demo_filled
-- Record whether the sample workspace was filled to its end.
update public.profiles set demo_at = case when %(filled)s::boolean then now() end where id = %(user_id)s;

-- name: demo_waiting
-- Users whose sample workspace was begun and not filled, and on request the owner on the first start.
select p.id
from public.profiles p
where p.demo_at is null
  and (exists (select from public.uploads u where u.user_id = p.id and u.sample <> 'former')
       or (%(owner)s::boolean and p.owner and not exists (select from public.uploads u where u.user_id = p.id)));

-- name: first_steps
-- What a newcomer has done, and which datasets are samples, now or formerly.
select coalesce(max(s.faults_seen_at) is not null, false) as faults_seen,
       coalesce(max(s.first_steps_dismissed_at) is not null, false) as dismissed,
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
