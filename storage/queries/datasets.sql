-- name: upload_insert
-- Announce an upload.
insert into public.uploads (id, user_id, name, size, dataset_id, how, options, sample)
values (%(id)s, %(user_id)s, %(name)s, %(size)s, %(dataset_id)s, %(how)s, %(options)s, %(sample)s)
returning id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options;

-- name: upload_by_id
-- One upload.
select id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options
from public.uploads
where id = %(id)s;

-- name: upload_lock
-- One upload, locked until the transaction ends, so that it is accepted once.
select id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options
from public.uploads
where id = %(id)s
for update;

-- name: upload_accept
-- Record that an upload's verified object is in the object store.
update public.uploads
set state = 'accepted', object_key = %(key)s, sha256 = %(sha256)s, dataset_id = %(dataset_id)s, accepted_at = now()
where id = %(id)s
returning id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options;

-- name: upload_unchanged
-- End an upload whose bytes the dataset shows already.
update public.uploads
set state = 'unchanged'
where id = %(id)s
returning id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options;

-- name: upload_twin
-- In which other dataset the bytes of an upload, or of the newest one of a dataset, were before: a version of them first.
select d.id as dataset_id, d.name, max(v.number) as version
from public.uploads u
join public.uploads o on o.user_id = u.user_id and o.sha256 = u.sha256 and o.state = 'accepted'
                         and (o.accepted_at, o.id) < (u.accepted_at, u.id)
join public.datasets d on d.id = o.dataset_id and d.deleted_at is null and d.id is distinct from u.dataset_id
left join public.dataset_versions v on v.upload_id = o.id
where u.state = 'accepted' and u.id = coalesce(%(id)s::uuid, (
    select n.id from public.uploads n
    where n.dataset_id = %(dataset_id)s::uuid and n.state = 'accepted'
    order by n.accepted_at desc
    limit 1
))
group by d.id, d.name
order by max(v.number) is null, max(o.accepted_at) desc, d.id
limit 1;

-- name: upload_discard
-- Give up an upload that is still arriving.
update public.uploads
set state = 'discarded'
where id = %(id)s and state = 'receiving'
returning id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options;

-- name: upload_unbegun
-- Give up an upload that staging has no place for: who makes the sample workspace may send that file once more.
update public.uploads
set state = 'discarded', sample = case when sample is not null then 'former' end
where id = %(id)s and state = 'receiving';

-- name: upload_grows
-- Note that the sender of an upload was heard of.
update public.uploads set grown_at = now() where id = %(id)s and state = 'receiving';

-- name: uploads_waiting
-- How many uploads of the user wait for bytes.
select count(*) as count
from public.uploads
where state = 'receiving';

-- name: uploads_idle
-- Uploads of all users that wait for bytes and have not grown for a week.
select id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options
from public.uploads
where state = 'receiving' and grown_at < now() - interval '7 days'
order by grown_at
limit 1000;

-- name: upload_give_up
-- Give up an upload that has not grown for a week.
update public.uploads
set state = 'discarded'
where id = %(id)s and state = 'receiving' and grown_at < now() - interval '7 days'
returning id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options;

-- name: upload_cleared
-- Note that nothing is left of an ended upload in staging, nor an object of one that was not accepted.
update public.uploads set cleared = true where id = %(id)s and state <> 'receiving';

-- name: uploads_left
-- Ended uploads of which staging may still hold bytes, or that may have left an object.
select id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options
from public.uploads
where state <> 'receiving' and not cleared
order by created_at
limit 100;

-- name: uploads_staged
-- The user's uploads of which staging may hold bytes.
select id
from public.uploads
where not cleared;

-- name: uploads_receiving
-- Uploads that wait for more bytes, the newest first.
select id, user_id, name, size, state, object_key, sha256, dataset_id, created_at, how, options
from public.uploads
where state = 'receiving'
order by created_at desc;

-- name: source_insert
-- Where a dataset comes from.
insert into public.data_sources (user_id, kind, name, upload_id)
values (%(user_id)s, 'upload', %(name)s, %(upload_id)s)
returning id;

-- name: dataset_insert
-- A dataset without a version yet.
insert into public.datasets (user_id, source_id, name)
values (%(user_id)s, %(source_id)s, %(name)s)
returning id;

-- name: dataset_lock
-- One dataset, locked until the transaction ends, so that its uploads are accepted one after the other.
select id from public.datasets where id = %(id)s and deleted_at is null for no key update;

-- name: dataset_order
-- The conversion that a further upload follows: the newest that has not ended, else the one that made what is shown.
select j.id, j.state, j.payload, u.sha256, u.size, v.number
from public.jobs j
join public.datasets d on d.id = j.dataset_id
join public.uploads u on u.dataset_id = j.dataset_id and u.id::text = j.payload ->> 'upload'
left join public.dataset_versions v on v.job_id = j.id
where j.dataset_id = %(dataset_id)s and j.kind = 'convert'
  and (j.state in ('queued', 'running') or v.id = d.current_version)
order by j.state in ('queued', 'running') desc, j.created_at desc
limit 1;

-- name: version_order
-- What the conversion that made a version was told.
select j.payload
from public.dataset_versions v
join public.jobs j on j.id = v.job_id
where v.id = %(id)s;

-- name: datasets_list
-- The user's datasets with what a list shows, the latest change first.
-- The shape is of the first measure that varies.
select d.id, d.user_id, d.name, d.created_at, d.updated_at, s.name as source_name, v.number as version, v.rows,
       coalesce(v.manifest ->> 'faults_of_all', v.manifest ->> 'faults_total')::bigint as faults,
       (v.manifest -> 'series' ->> 'count')::bigint as series,
       coalesce(jsonb_array_length(v.manifest #> '{source,reading,member,options}'),
                jsonb_array_length(v.manifest #> '{source,reading,sheet,options}')) as tables,
       (select c -> 'sparkline' from jsonb_array_elements(v.manifest -> 'columns') with ordinality m (c, place)
        where c ->> 'role' = 'measure'
        order by c -> 'min' is distinct from c -> 'max' desc, place limit 1) as sparkline
from public.datasets d
join public.data_sources s on s.id = d.source_id
left join public.dataset_versions v on v.id = d.current_version
where d.deleted_at is null
  and (%(ids)s::uuid[] is null or d.id = any(%(ids)s::uuid[]))
  and (not %(converted)s::boolean or v.id is not null)
  and (%(query)s::text = '' or strpos(lower(d.name), lower(%(query)s)) > 0
       or strpos(lower(s.name), lower(%(query)s)) > 0)
order by d.updated_at desc, d.id
limit %(limit)s::bigint offset %(offset)s;

-- name: datasets_count
-- How many datasets a list without bounds would hold, and how many are deleted.
select count(*) filter (where d.deleted_at is null
                        and (%(query)s::text = '' or strpos(lower(d.name), lower(%(query)s)) > 0
                             or strpos(lower(s.name), lower(%(query)s)) > 0)) as found,
       count(*) filter (where d.deleted_at is null) as total,
       count(*) filter (where d.deleted_at is not null and d.removing_at is null) as deleted
from public.datasets d
join public.data_sources s on s.id = d.source_id;

-- name: datasets_lock
-- Wait until nobody else names a new dataset of this user; held until the transaction ends.
select pg_advisory_xact_lock(hashtextextended('datasets/' || %(user_id)s::text, 0))::text as held;

-- name: datasets_named
-- The user's datasets by their names alone, the latest change first.
select d.id, d.name, v.number as version, v.rows
from public.datasets d
left join public.dataset_versions v on v.id = d.current_version
where d.deleted_at is null
order by d.updated_at desc, d.id;

-- name: datasets_deleted
-- What the user deleted and can bring back, the latest deletion first.
select d.id, d.name, d.deleted_at, v.rows,
       coalesce((select l.api_key from public.audit_logs l
                 where l.about = d.id and l.action = 'dataset deleted' order by l.id desc limit 1), '') as by,
       (select coalesce(sum(u.size), 0) from public.uploads u
        where u.dataset_id = d.id and u.state = 'accepted')::bigint as size
from public.datasets d
left join public.dataset_versions v on v.id = d.current_version
where d.deleted_at is not null and d.removing_at is null
order by d.deleted_at desc, d.id
limit %(limit)s::bigint offset %(offset)s;

-- name: dataset_by_id
-- One dataset with what its page shows.
select d.id, d.user_id, d.name, d.created_at, d.updated_at, s.name as source_name, v.number as version, v.rows,
       coalesce(v.manifest ->> 'faults_of_all', v.manifest ->> 'faults_total')::bigint as faults,
       (v.manifest -> 'series' ->> 'count')::bigint as series,
       coalesce(jsonb_array_length(v.manifest #> '{source,reading,member,options}'),
                jsonb_array_length(v.manifest #> '{source,reading,sheet,options}')) as tables,
       null::jsonb as sparkline
from public.datasets d
join public.data_sources s on s.id = d.source_id
left join public.dataset_versions v on v.id = d.current_version
where d.id = %(id)s and d.deleted_at is null;

-- name: versions_list
-- Versions of a dataset as lists show them, the newest first, or those made before one of them.
select v.number, v.rows, (v.manifest ->> 'faults_total')::bigint as faults,
       (v.manifest -> 'series' ->> 'count')::bigint as series, v.manifest -> 'measures' as measures,
       coalesce(v.manifest -> 'warnings', '[]') as warnings, v.manifest -> 'source' ->> 'name' as source,
       coalesce(v.manifest -> 'recipe', '[]') as recipe,
       (select count(*) from jsonb_array_elements(v.manifest -> 'sources') with ordinality s (one, place)
        where (s.one ->> 'rows')::bigint > 0 and s.place < jsonb_array_length(v.manifest -> 'sources')) as earlier_files,
       (select max(e.number) from public.dataset_versions e
        where e.dataset_id = v.dataset_id and e.number < v.number) as previous,
       (select max(e.number) from public.dataset_versions e
        where e.dataset_id = v.dataset_id and e.number < v.number and e.upload_id = v.upload_id) as reads,
       v.created_at
from public.dataset_versions v
where v.dataset_id = %(dataset_id)s and (%(before)s::bigint is null or v.number < %(before)s::bigint)
order by v.number desc
limit %(limit)s;

-- name: versions_by_origin
-- Which version of a dataset each of these conversions made, by the last part of its prefix.
select v.number, v.prefix
from public.dataset_versions v
where v.dataset_id = %(dataset_id)s and substring(v.prefix from '[^/]*$') = any(%(origins)s);

-- name: version_first_told
-- The first version that read the same upload with the same notes.
select min(e.number) as number
from public.dataset_versions v
join public.dataset_versions e on e.dataset_id = v.dataset_id and e.upload_id = v.upload_id
where v.id = %(id)s and e.manifest #> '{source,notes}' = v.manifest #> '{source,notes}';

-- name: version_orders
-- What the conversions of these versions of a dataset were told.
select v.number, j.payload
from public.dataset_versions v
left join public.jobs j on j.id = v.job_id
where v.dataset_id = %(dataset_id)s and v.number = any(%(numbers)s);

-- name: version_current
-- The version that a dataset shows.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.datasets d
join public.dataset_versions v on v.id = d.current_version
where d.id = %(dataset_id)s and d.deleted_at is null;

-- name: versions_shown
-- Datasets by their ids, each with its name and the version that it shows, if any.
select d.id as shown_by, d.name as dataset_name, v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows,
       v.upload_id, v.created_at
from public.datasets d
left join public.dataset_versions v on v.id = d.current_version
where d.id = any(%(ids)s) and d.deleted_at is null;

-- name: version_by_number
-- A version by its number, unless its dataset was deleted.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.dataset_versions v
join public.datasets d on d.id = v.dataset_id
where v.dataset_id = %(dataset_id)s and v.number = %(number)s and d.deleted_at is null;

-- name: version_by_id
-- A version, of a deleted dataset too.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.dataset_versions v
where v.id = %(id)s;

-- name: version_before
-- The version that a conversion extends: the one that it names, else the one that its dataset shows.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.dataset_versions v
join public.datasets d on d.id = v.dataset_id
where v.dataset_id = %(dataset_id)s and v.user_id = %(user_id)s
  and v.id::text = coalesce(%(onto)s::text, d.current_version::text);

-- name: version_insert
-- Commit a version; its number follows the last one.
insert into public.dataset_versions (dataset_id, user_id, number, upload_id, job_id, prefix, manifest, rows)
select %(dataset_id)s, %(user_id)s, coalesce(max(number), 0) + 1, %(upload_id)s, %(job_id)s, %(prefix)s, %(manifest)s,
       %(rows)s
from public.dataset_versions
where dataset_id = %(dataset_id)s
returning id, number;

-- name: dataset_point
-- Show another version of a dataset.
update public.datasets set current_version = %(version_id)s, updated_at = now() where id = %(id)s returning name;

-- name: dataset_rename
-- Give a dataset another name, and tell the one that it had.
update public.datasets d
set name = %(name)s, updated_at = now()
from (select o.id, o.name from public.datasets o where o.id = %(id)s for update) before
where d.id = before.id and d.deleted_at is null
returning before.name;

-- name: dataset_hints_dismissed
-- The keys of a dataset's hints that were dismissed.
select hints_dismissed from public.datasets where id = %(id)s and deleted_at is null;

-- name: dataset_hint_dismiss
-- Dismiss a hint of a dataset, or bring it back; the latest 100 are kept.
update public.datasets
set hints_dismissed = case
    when %(dismissed)s then (array_remove(hints_dismissed, %(key)s) || %(key)s::text)
        [greatest(1, cardinality(array_remove(hints_dismissed, %(key)s)) - 98):]
    else array_remove(hints_dismissed, %(key)s)
end
where id = %(id)s and deleted_at is null
returning hints_dismissed;

-- name: dataset_name
-- What a dataset is called, a deleted one too.
select name from public.datasets where id = %(id)s;

-- name: dataset_delete
-- Take a dataset away.
update public.datasets set deleted_at = now(), updated_at = now()
where id = %(id)s and deleted_at is null
returning name;

-- name: dataset_undelete
-- Bring a dataset back, unless its removal for good has begun.
update public.datasets set deleted_at = null, updated_at = now()
where id = %(id)s and deleted_at is not null and removing_at is null
returning name;

-- name: dataset_deleted
-- A dataset that was taken away and can be brought back.
select id, name, deleted_at from public.datasets where id = %(id)s and deleted_at is not null and removing_at is null;
