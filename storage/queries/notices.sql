-- name: notice_insert
-- Record a notice for a user.
insert into public.notices (user_id, level, title, text, link)
values (%(user_id)s, %(level)s, %(title)s, %(text)s, %(link)s)
returning id, user_id, level, title, text, link, created_at, read_at;

-- name: notice_insert_once
-- Record a notice for a user unless they have one with this key.
insert into public.notices (user_id, level, title, text, link, key)
values (%(user_id)s, %(level)s, %(title)s, %(text)s, %(link)s, %(key)s)
on conflict (user_id, key) where key is not null do nothing
returning id, user_id, level, title, text, link, created_at, read_at;

-- name: notices_latest
-- The user's newest notices, all or unread, or those that came before one of them.
select id, user_id, level, title, text, link, created_at, read_at
from public.notices
where (%(unread)s::boolean is not true or read_at is null)
  and (%(before)s::uuid is null
       or (created_at, id) < (select created_at, id from public.notices where id = %(before)s::uuid))
order by created_at desc, id desc
limit %(limit)s;

-- name: notices_unread
-- How many notices the user has not read.
select count(*) as count from public.notices where read_at is null;

-- name: notices_read
-- Mark the user's notices as read.
update public.notices set read_at = now() where read_at is null;

-- name: notices_read_listed
-- Mark those of the user's notices as read that a list has shown.
update public.notices set read_at = now() where read_at is null and id = any(%(ids)s::uuid[]);

-- name: notice_read
-- Mark one notice as read.
update public.notices set read_at = coalesce(read_at, now()) where id = %(id)s returning id;

-- name: notices_untold
-- The user's notices that no page has told yet, from now on told.
with told as (
    update public.notices set told_at = now() where told_at is null
    returning id, user_id, level, title, text, link, created_at, read_at
)
select id, user_id, level, title, text, link, created_at, read_at
from told
order by created_at desc, id desc;

-- name: notice_told
-- Count a notice as told.
update public.notices set told_at = now() where id = %(id)s and told_at is null;
