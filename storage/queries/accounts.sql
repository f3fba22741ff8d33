-- name: profile_insert
-- Make sure that an account has its profile, locked until the transaction ends.
insert into public.profiles (id, email, owner)
values (%(id)s, %(email)s, %(owner)s)
on conflict (id) do update set owner = public.profiles.owner or excluded.owner
returning owner, proven_at, password_since;

-- name: profile_lock
-- An account, locked until the transaction ends.
select id, email, proven_at
from public.profiles
where id = %(id)s
for no key update;

-- name: profile_prove
-- Note that somebody has proven the address; no sign-in holds that began before with a password.
update public.profiles
set proven_at = clock_timestamp(), password_since = clock_timestamp()
where id = %(id)s;

-- name: profile_password_changed
-- Note that no sign-in holds that began before with a password, on an account locked until the transaction ends.
update public.profiles
set password_since = clock_timestamp()
where id = %(id)s
returning id;

-- name: entered_before
-- Whether anybody has come in without proving the address: by a password, or by the owner's link.
select exists (
    select from public.audit_logs
    where user_id = %(user_id)s and action in ('sign-up', 'sign-in', 'sign-in by link')
) as entered;

-- name: moment
-- What time it is, by the clock that accounts go by.
select clock_timestamp() as now;

-- name: profile_rename
-- Change the name that pages show.
update public.profiles
set name = %(name)s
where id = %(id)s and name <> %(name)s;

-- name: usage_lock
-- Lock a user's open usage session and open jobs until the transaction ends: before the account, as everywhere else.
select public.lock_usage(%(user_id)s)::text as held;

-- name: profile_delete
-- Remove an account with all its rows; the audit log keeps its own.
delete from public.profiles where id = %(id)s;

-- name: preferences_get
-- How a user wants pages to look.
select theme, time_zone, number_format
from public.settings
where user_id = %(user_id)s;

-- name: preferences_set
-- Keep how a user wants pages to look.
insert into public.settings (user_id, theme, time_zone, number_format)
values (%(user_id)s, %(theme)s, %(time_zone)s, %(number_format)s)
on conflict (user_id) do update
set theme = excluded.theme, time_zone = excluded.time_zone, number_format = excluded.number_format, updated_at = now();

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

-- name: links_expired
-- Remove sign-in links that open nothing any more, used ones and old ones.
delete from public.sign_in_links where used_at is not null or expires_at < now();

-- name: flow_insert
-- A sign-in that has begun.
insert into sign_in.flows (state_hash, provider, secret, browser_hash, target, expires_at)
values (%(state_hash)s, %(provider)s, %(secret)s, %(browser_hash)s, %(target)s, now() + %(life)s::interval);

-- name: flow_use
-- Finish a sign-in in the browser that began it, once.
update sign_in.flows
set used_at = now()
where state_hash = %(state_hash)s and browser_hash = %(browser_hash)s and used_at is null and expires_at > now()
returning provider, secret, target;

-- name: flow_state
-- Why a sign-in cannot be finished.
select used_at is not null as used, expires_at <= now() as expired
from sign_in.flows
where state_hash = %(state_hash)s;

-- name: flows_expired
-- Remove what expired over an hour ago; until then it can be told why it cannot be finished.
delete from sign_in.flows
where state_hash in (
    select state_hash from sign_in.flows
    where expires_at < now() - interval '1 hour'
    order by expires_at
    limit 100
    for update skip locked
);

-- name: session_insert
-- Open a session.
with opened as (
    insert into public.sessions (token_hash, user_id, user_agent, address, expires_at)
    values (%(token_hash)s, %(user_id)s, %(user_agent)s, %(address)s, %(expires_at)s)
    returning id, user_id, created_at, expires_at
)
select opened.id, opened.user_id, opened.created_at, opened.expires_at, p.email, p.name, p.owner,
       w.theme, w.time_zone, w.number_format
from opened
join public.profiles p on p.id = opened.user_id
left join public.settings w on w.user_id = opened.user_id;

-- name: session_by_token
-- The live session behind a token's hash, and whether it was last noted as seen over a minute ago.
select s.id, s.user_id, s.created_at, s.expires_at, p.email, p.name, p.owner, w.theme, w.time_zone, w.number_format,
       s.seen_at < now() - interval '1 minute' as stale
from public.sessions s
join public.profiles p on p.id = s.user_id
left join public.settings w on w.user_id = s.user_id
where s.token_hash = %(token_hash)s and s.expires_at > now();

-- name: session_seen
-- Note that a session is used.
update public.sessions
set seen_at = now()
where id = %(id)s and seen_at < now() - interval '1 minute';

-- name: session_rotate
-- Give a live session another token and a new expiry.
with rotated as (
    update public.sessions
    set token_hash = %(fresh_hash)s, expires_at = %(expires_at)s, seen_at = now(),
        address = coalesce(nullif(%(address)s, ''), address),
        user_agent = coalesce(nullif(%(user_agent)s, ''), user_agent)
    where token_hash = %(token_hash)s and expires_at > now()
    returning id, user_id, created_at, expires_at
)
select rotated.id, rotated.user_id, rotated.created_at, rotated.expires_at, p.email, p.name, p.owner,
       w.theme, w.time_zone, w.number_format
from rotated
join public.profiles p on p.id = rotated.user_id
left join public.settings w on w.user_id = rotated.user_id;

-- name: session_delete
-- End a session.
delete from public.sessions
where token_hash = %(token_hash)s
returning user_id, id, token_hash;

-- name: session_revoke
-- End a session of the user's, by its id.
delete from public.sessions
where id = %(id)s
returning id, user_agent, token_hash;

-- name: sessions_retire
-- End every session of a user.
delete from public.sessions
where user_id = %(user_id)s
returning id, token_hash;

-- name: sessions_retire_others
-- End every session of a user but one.
delete from public.sessions
where user_id = %(user_id)s and id <> %(current)s
returning id, token_hash;

-- name: sessions_expired
-- Remove the sessions of all users that have expired.
delete from public.sessions where expires_at < now();

-- name: session_lives
-- A session of a user's that has not ended.
select id
from public.sessions
where id = %(id)s and user_id = %(user_id)s and expires_at > now();

-- name: session_hashes
-- By what the user's sessions are known to the cache.
select token_hash
from public.sessions;

-- name: sessions_list
-- The live sessions, the one used last first.
select id, user_agent, address, created_at, seen_at, expires_at
from public.sessions
where expires_at > now()
order by seen_at desc, id
limit 200;

-- name: api_key_insert
-- Keep the hash of a new key.
insert into public.api_keys (user_id, name, prefix, key_hash, scopes, expires_at)
values (%(user_id)s, %(name)s, %(prefix)s, %(key_hash)s, %(scopes)s, %(expires_at)s)
returning id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at;

-- name: api_keys_live
-- How many keys of the user open something.
select count(*) as count
from public.api_keys
where revoked_at is null and (expires_at is null or expires_at > now());

-- name: api_keys_list
-- Keys of the user: those that are not revoked first, then the newest first.
select id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at
from public.api_keys
order by revoked_at is not null, created_at desc, id
limit 200;

-- name: api_key_revoke
-- Revoke a key, once.
update public.api_keys
set revoked_at = now()
where id = %(id)s and revoked_at is null
returning name;

-- name: api_keys_revoke_all
-- Revoke every key of a user.
update public.api_keys
set revoked_at = now()
where user_id = %(user_id)s and revoked_at is null;

-- name: api_key_by_id
-- A key of the user's.
select id
from public.api_keys
where id = %(id)s;

-- name: api_key_by_hash
-- The live key behind a hash, and whether its use was last noted over a minute ago.
select k.id, k.user_id, k.scopes, k.created_at, k.expires_at, p.email, p.name, p.owner,
       w.theme, w.time_zone, w.number_format,
       coalesce(k.last_used_at < now() - interval '1 minute', true) as stale
from public.api_keys k
join public.profiles p on p.id = k.user_id
left join public.settings w on w.user_id = k.user_id
where k.key_hash = %(key_hash)s and k.revoked_at is null and (k.expires_at is null or k.expires_at > now());

-- name: api_key_used
-- Note that a key is used.
update public.api_keys
set last_used_at = now()
where id = %(id)s and coalesce(last_used_at < now() - interval '1 minute', true);

-- name: jobs_cancel_all
-- Cancel a user's jobs: queued ones end now, running ones are asked to. All are locked before any account is.
with held as materialized (
    select id from public.jobs
    where user_id = %(user_id)s and state in ('queued', 'running')
    order by id
    for update
)
update public.jobs
set cancel_requested = true,
    state = case when state = 'queued' then 'cancelled' else state end,
    finished_at = case when state = 'queued' then now() end,
    message = case when state = 'queued' then 'The job was cancelled.' else 'Cancelling' end
where id = any ((select array_agg(id) from held)::uuid[]) and state in ('queued', 'running');

-- name: jobs_running_count
-- How many of a user's jobs a worker holds.
select count(*) as count
from public.jobs
where user_id = %(user_id)s and state = 'running';

-- name: audit_insert
-- Record who did what.
insert into public.audit_logs (user_id, action, subject, address, about, api_key)
values (%(user_id)s, %(action)s, %(subject)s, %(address)s, %(about)s,
        coalesce((select k.name from public.api_keys k where k.id = %(key)s::uuid), ''));

-- name: audit_list
-- What a user did, the newest first, from before an entry or from now.
select id, action, subject, address, api_key, at
from public.audit_logs
where %(before)s::bigint is null or id < %(before)s
order by id desc
limit %(limit)s;
