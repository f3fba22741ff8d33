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

grant usage on schema auth to anon, authenticated, service_role, variosync_worker;
grant select, insert, update, delete on auth.users, auth.refresh_tokens to variosync_worker;
