-- name: upload_insert
-- Announce an upload.
insert into public.uploads (id, user_id, name, size, dataset_id, how, options)
values (%(id)s, %(user_id)s, %(name)s, %(size)s, %(dataset_id)s, %(how)s, %(options)s)
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

-- name: upload_discard
-- Give up an upload that is still arriving.
update public.uploads set state = 'discarded' where id = %(id)s and state = 'receiving';

-- name: upload_cleared
-- Note that staging holds nothing of an ended upload any more.
update public.uploads set cleared = true where id = %(id)s and state <> 'receiving';

-- name: uploads_left
-- Ended uploads of which staging may still hold bytes.
select id
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
select id from public.datasets where id = %(id)s and deleted_at is null for update;

-- name: dataset_order
-- The conversion that a further upload follows: the newest that has not ended, else the one that made what is shown.
select j.id, j.state, j.payload, u.sha256, v.number
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
select d.id, d.user_id, d.name, d.created_at, d.updated_at, s.name as source_name, v.number as version, v.rows,
       coalesce(v.manifest ->> 'faults_of_all', v.manifest ->> 'faults_total')::bigint as faults,
       (v.manifest -> 'series' ->> 'count')::bigint as series,
       coalesce(jsonb_array_length(v.manifest #> '{source,reading,member,options}'),
                jsonb_array_length(v.manifest #> '{source,reading,sheet,options}')) as tables,
       (select c -> 'sparkline' from jsonb_array_elements(v.manifest -> 'columns') c
        where c ->> 'role' = 'measure' limit 1) as sparkline
from public.datasets d
join public.data_sources s on s.id = d.source_id
left join public.dataset_versions v on v.id = d.current_version
where d.deleted_at is null
order by d.updated_at desc;

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
-- Every version of a dataset, the newest first.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.dataset_versions v
where v.dataset_id = %(dataset_id)s
order by v.number desc;

-- name: version_orders
-- What the conversion of each version of a dataset was told.
select v.number, j.payload
from public.dataset_versions v
left join public.jobs j on j.id = v.job_id
where v.dataset_id = %(dataset_id)s;

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
-- A version by its number.
select v.id, v.dataset_id, v.user_id, v.number, v.prefix, v.manifest, v.rows, v.upload_id, v.created_at
from public.dataset_versions v
where v.dataset_id = %(dataset_id)s and v.number = %(number)s;

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
update public.datasets set current_version = %(version_id)s, updated_at = now() where id = %(id)s;

-- name: dataset_rename
-- Give a dataset another name.
update public.datasets set name = %(name)s, updated_at = now() where id = %(id)s and deleted_at is null;

-- name: dataset_delete
-- Take a dataset away.
update public.datasets set deleted_at = now(), updated_at = now() where id = %(id)s and deleted_at is null;

-- name: dataset_undelete
-- Bring a dataset back.
update public.datasets set deleted_at = null, updated_at = now() where id = %(id)s and deleted_at is not null;
