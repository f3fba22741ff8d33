-- Dashboards: panels over datasets. Each saved state is a revision of its own, so that any can be brought back.

create table public.dashboards (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    name text not null check (length(name) between 1 and 255),
    spec jsonb not null check (jsonb_typeof(spec) = 'object' and octet_length(spec::text) <= 200000),
    revision integer not null default 1 check (revision > 0),
    pinned boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    unique (id, user_id)
);
create index dashboards_user on public.dashboards (user_id, updated_at desc);
comment on column public.dashboards.spec is 'Panels and variables, as core.panels describes them.';
comment on column public.dashboards.revision is 'How often it was saved; who saves names the one that was changed.';

create table public.dashboard_revisions (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    dashboard_id uuid not null,
    revision integer not null check (revision > 0),
    spec jsonb not null check (jsonb_typeof(spec) = 'object' and octet_length(spec::text) <= 200000),
    saved_at timestamptz not null default now(),
    unique (dashboard_id, revision),
    foreign key (dashboard_id, user_id) references public.dashboards (id, user_id) on delete cascade
);
create index dashboard_revisions_user on public.dashboard_revisions (user_id);
create trigger dashboard_revisions_immutable before update on public.dashboard_revisions
    for each row execute function public.refuse_change();

-- Whoever inserts, also past the app: at most 500 dashboards of a user, deleted ones too, and 50 states of each.
create function public.bound_dashboards() returns trigger language plpgsql set search_path = '' as $$
begin
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('dashboards/' || new.user_id::text, 0));
    if (select count(*) from public.dashboards d where d.user_id = new.user_id) >= 500 then
        raise exception 'There are 500 dashboards already.' using errcode = 'check_violation';
    end if;
    return new;
end $$;
revoke all on function public.bound_dashboards from public, anon, authenticated;
create trigger dashboards_bound before insert on public.dashboards
    for each row execute function public.bound_dashboards();

create function public.bound_dashboard_revisions() returns trigger language plpgsql set search_path = '' as $$
begin
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('dashboard/' || new.dashboard_id::text, 0));
    delete from public.dashboard_revisions where id in (
        select r.id from public.dashboard_revisions r
        where r.dashboard_id = new.dashboard_id order by r.revision desc offset 50
    );
    return null;
end $$;
revoke all on function public.bound_dashboard_revisions from public, anon, authenticated;
create trigger dashboard_revisions_bound after insert on public.dashboard_revisions
    for each row execute function public.bound_dashboard_revisions();

do $$
declare
    t text;
begin
    foreach t in array array['dashboards', 'dashboard_revisions'] loop
        execute format('alter table public.%I enable row level security', t);
        execute format('alter table public.%I force row level security', t);
        execute format('revoke all on public.%I from anon, authenticated, public', t);
        execute format('create policy worker on public.%I for all to variosync_worker using (true) with check (true)', t);
        execute format('create policy owner on public.%I for all to authenticated using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))', t);
    end loop;
end $$;
grant select, insert, update, delete on public.dashboards to variosync_worker;
grant select, insert, delete on public.dashboard_revisions to variosync_worker;
grant select, insert, delete, update (name, spec, revision, pinned, updated_at, deleted_at) on public.dashboards to authenticated;
grant select, insert, delete on public.dashboard_revisions to authenticated;

do $$
declare
    c text;
begin
    select conname into strict c from pg_constraint
    where conrelid = 'public.api_keys'::regclass and contype = 'c' and pg_get_constraintdef(oid) like '%scopes%';
    execute format('alter table public.api_keys drop constraint %I', c);
end $$;
alter table public.api_keys add constraint api_keys_scopes_check check (
    cardinality(scopes) > 0
    and scopes <@ array['datasets:read', 'datasets:write', 'dashboards:read', 'dashboards:write', 'forecasts:read',
                        'forecasts:write', 'jobs:read', 'jobs:write', 'hours:read', 'notices:read', 'notices:write']
);
