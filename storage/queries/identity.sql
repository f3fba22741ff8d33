-- name: identity_user_insert
-- Create an account of the embedded identity.
insert into auth.users (email, encrypted_password)
values (%(email)s, %(password)s)
returning id;

-- name: identity_user_ensure
-- The account with this email, created without a password when there is none.
insert into auth.users (email)
values (%(email)s)
on conflict (email) do update set email = excluded.email
returning id;

-- name: identity_user_by_email
-- An account and its password's hash, which is null when it has none.
select id, email, encrypted_password
from auth.users
where email = %(email)s;

-- name: identity_user_by_id
-- An account by its id.
select id, email
from auth.users
where id = %(id)s;

-- name: identity_user_by_subject
-- The account of somebody whom a provider knows.
select u.id, u.email
from auth.identities i
join auth.users u on u.id = i.user_id
where i.provider = %(provider)s and i.provider_id = %(provider_id)s;

-- name: identity_subject_insert
-- Note by which account a provider knows somebody.
insert into auth.identities (provider, provider_id, user_id)
values (%(provider)s, %(provider_id)s, %(user_id)s)
on conflict do nothing;

-- name: identity_password_set
-- Keep the hash of a new password, or none.
update auth.users
set encrypted_password = %(password)s
where id = %(id)s;

-- name: identity_user_proven
-- Record a sign-in of somebody who proved the address.
update auth.users
set email_confirmed_at = coalesce(email_confirmed_at, now()), last_sign_in_at = now()
where id = %(id)s;

-- name: identity_user_signed_in
-- Record a sign-in by password, and its hash when it was made anew with today's cost; nothing when it is another by now.
update auth.users
set last_sign_in_at = now(), encrypted_password = coalesce(%(renewed)s, encrypted_password)
where id = %(id)s and encrypted_password = %(checked)s;

-- name: identity_token_insert
-- Keep a refresh token's hash.
insert into auth.refresh_tokens (token_hash, user_id, session_id, method, expires_at)
values (%(token_hash)s, %(user_id)s, %(session_id)s, %(method)s, now() + %(life)s::interval);

-- name: identity_token_use
-- Use a refresh token, once.
update auth.refresh_tokens
set used_at = now()
where token_hash = %(token_hash)s and used_at is null and expires_at > now()
returning user_id, session_id, method;

-- name: identity_family_retire
-- Retire the sign-in whose refresh token was used a second time.
delete from auth.refresh_tokens
where session_id = (
    select session_id from auth.refresh_tokens where token_hash = %(token_hash)s and used_at is not null
);

-- name: identity_session_retire
-- Retire every refresh token of a sign-in.
delete from auth.refresh_tokens where session_id = %(session_id)s;

-- name: identity_tokens_expired
-- Remove a user's refresh tokens that can serve no more.
delete from auth.refresh_tokens where user_id = %(user_id)s and expires_at < now();

-- name: identity_tokens_retire
-- Retire every refresh token of a user.
delete from auth.refresh_tokens where user_id = %(user_id)s;

-- name: identity_link_insert
-- Keep the hashes of a mailed link and of the secret that it is finished with.
insert into auth.one_time_tokens (token_hash, secret_hash, email, expires_at)
values (%(token_hash)s, %(secret_hash)s, %(email)s, now() + %(life)s::interval);

-- name: identity_link_use
-- Use a mailed link, once.
delete from auth.one_time_tokens
where token_hash = %(token_hash)s and secret_hash = %(secret_hash)s and expires_at > now()
returning email;

-- name: identity_links_expired
-- Remove links that were never used.
delete from auth.one_time_tokens where expires_at < now();

-- name: identity_user_delete
-- Remove an account; its refresh tokens go with it.
delete from auth.users where id = %(id)s;
