-- API keys, how numbers are written, and an audit log that nothing changes.

create table public.api_keys (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    name text not null check (length(name) between 1 and 100),
    prefix text not null check (prefix ~ '^vsk_[A-Za-z0-9_-]{6}$'),
    key_hash bytea not null unique check (length(key_hash) = 32),
    scopes text[] not null check (
        cardinality(scopes) > 0
        and scopes <@ array['datasets:read', 'datasets:write', 'forecasts:read', 'forecasts:write', 'jobs:read',
                            'jobs:write', 'hours:read', 'notices:read', 'notices:write']
    ),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_user on public.api_keys (user_id, created_at desc);
comment on table public.api_keys is 'Keys for programs: the key itself is shown once, only its SHA-256 is kept.';

alter table public.api_keys enable row level security;
alter table public.api_keys force row level security;
create policy worker on public.api_keys for all to variosync_worker using (true) with check (true);
create policy owner on public.api_keys for all to authenticated
    using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
revoke all on public.api_keys from anon, authenticated, public;
grant select, insert, update, delete on public.api_keys to variosync_worker;
-- Who manages keys has no use for their hashes.
grant select (id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at)
    on public.api_keys to authenticated;
grant insert (user_id, name, prefix, key_hash, scopes, expires_at) on public.api_keys to authenticated;
grant update (revoked_at) on public.api_keys to authenticated;

alter table public.settings
    add column number_format text not null default '1,234.5'
    check (number_format in ('1,234.5', '1.234,5', '1 234,5', '1234.5'));
comment on column public.settings.number_format is 'The number 1234.5 as the user writes it.';

drop index public.audit_logs_user;
create index audit_logs_user on public.audit_logs (user_id, id desc);

-- The reference to a deleted account is let go of, by the foreign key itself and never by a statement of anybody's:
-- only inside the key's own trigger is the depth more than one.
create function public.keep_audit() returns trigger language plpgsql set search_path = '' as $$
begin
    if tg_op = 'UPDATE' and pg_trigger_depth() > 1 and old.user_id is not null and new.user_id is null
       and to_jsonb(new) - 'user_id' = to_jsonb(old) - 'user_id' then
        return new;
    end if;
    raise exception 'audit_logs rows are never changed' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_logs_append_only before update or delete on public.audit_logs
    for each row execute function public.keep_audit();
create trigger audit_logs_whole before truncate on public.audit_logs
    for each statement execute function public.keep_audit();
revoke all on function public.keep_audit from public, anon, authenticated;
