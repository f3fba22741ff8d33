-- What Supabase brings along, for the embedded database only: its roles, the schema auth with the functions that read
-- the request's claims, and the tables of the embedded identity. Applied before the migrations at every start.

do $$
begin
    if not exists (select from pg_roles where rolname = 'anon') then
        create role anon nologin noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'authenticated') then
        create role authenticated nologin noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'service_role') then
        create role service_role nologin noinherit bypassrls;
    end if;
end $$;

create schema if not exists auth;

create or replace function auth.jwt() returns jsonb language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim', true), ''),
                    nullif(current_setting('request.jwt.claims', true), ''))::jsonb
$$;

create or replace function auth.uid() returns uuid language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

create or replace function auth.role() returns text language sql stable as $$
    select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
                    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
$$;

create table if not exists auth.users (
    id uuid primary key default gen_random_uuid(),
    email text not null unique check (email = lower(email)),
    encrypted_password text,
    created_at timestamptz not null default now(),
    last_sign_in_at timestamptz
);

-- Whom an OpenID Connect provider knows by which account: `provider` is its issuer, `provider_id` its `sub`.
create table if not exists auth.identities (
    provider text not null,
    provider_id text not null,
    user_id uuid not null references auth.users on delete cascade,
    created_at timestamptz not null default now(),
    primary key (provider, provider_id),
    unique (user_id, provider, provider_id)
);

-- Links that were mailed and not yet used; each serves whoever has the secret as well.
create table if not exists auth.one_time_tokens (
    token_hash bytea primary key check (length(token_hash) = 32),
    secret_hash bytea not null check (length(secret_hash) = 32),
    email text not null check (email = lower(email)),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

create table if not exists auth.refresh_tokens (
    token_hash bytea primary key check (length(token_hash) = 32),
    user_id uuid not null references auth.users on delete cascade,
    session_id uuid not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
create index if not exists refresh_tokens_session on auth.refresh_tokens (session_id);
create index if not exists refresh_tokens_user on auth.refresh_tokens (user_id);

-- When somebody first proved that the address is theirs, and how a sign-in was made. Added with care: `if not exists`
-- of a column would lock a table at every start.
do $$
begin
    if not exists (select from pg_attribute where attrelid = 'auth.users'::regclass and attname = 'email_confirmed_at') then
        alter table auth.users add column email_confirmed_at timestamptz;
        alter table auth.refresh_tokens add column method text not null default 'password';
    end if;
end $$;

grant usage on schema auth to anon, authenticated, service_role, variosync_worker;
grant select, insert, update, delete on auth.users, auth.identities, auth.one_time_tokens, auth.refresh_tokens
    to variosync_worker;
