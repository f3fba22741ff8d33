-- name: notice_insert
-- Record a notice for a user.
insert into public.notices (user_id, level, title, text, link)
values (%(user_id)s, %(level)s, %(title)s, %(text)s, %(link)s)
returning id, user_id, level, title, text, link, created_at, read_at;

-- name: notices_latest
-- The user's newest notices.
select id, user_id, level, title, text, link, created_at, read_at
from public.notices
order by created_at desc
limit %(limit)s;

-- name: notices_unread
-- How many notices the user has not read.
select count(*) as count from public.notices where read_at is null;

-- name: notices_read
-- Mark the user's notices as read.
update public.notices set read_at = now() where read_at is null;
