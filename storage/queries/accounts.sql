-- name: profile_insert
-- Make sure that an account has its profile.
insert into public.profiles (id, email, owner)
values (%(id)s, %(email)s, %(owner)s)
on conflict (id) do update set owner = public.profiles.owner or excluded.owner;

-- name: link_insert
-- A one-time sign-in link.
insert into public.sign_in_links (token_hash, user_id, expires_at)
values (%(token_hash)s, %(user_id)s, %(expires_at)s);

-- name: link_use
-- Use a sign-in link, once.
update public.sign_in_links
set used_at = now()
where token_hash = %(token_hash)s and used_at is null and expires_at > now()
returning user_id;

-- name: session_insert
-- Open a session.
with opened as (
    insert into public.sessions (token_hash, user_id, user_agent, address, expires_at)
    values (%(token_hash)s, %(user_id)s, %(user_agent)s, %(address)s, %(expires_at)s)
    returning id, user_id, created_at, expires_at
)
select opened.id, opened.user_id, opened.created_at, opened.expires_at, p.email, p.name, p.owner
from opened
join public.profiles p on p.id = opened.user_id;

-- name: session_by_token
-- The live session behind a token's hash.
select s.id, s.user_id, s.created_at, s.expires_at, p.email, p.name, p.owner
from public.sessions s
join public.profiles p on p.id = s.user_id
where s.token_hash = %(token_hash)s and s.expires_at > now();

-- name: session_delete
-- End a session.
delete from public.sessions where token_hash = %(token_hash)s;

-- name: audit_insert
-- Record who did what.
insert into public.audit_logs (user_id, action, subject, address)
values (%(user_id)s, %(action)s, %(subject)s, %(address)s);
