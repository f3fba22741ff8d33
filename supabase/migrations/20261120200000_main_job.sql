-- Tables of the main job: accounts, uploads, datasets, jobs, forecasts, notices. Every user table has forced row-level
-- security: `authenticated` sees its own rows by auth.uid(), `variosync_worker` sees all rows by a policy of its own
-- and bypasses nothing. References carry the owner (or the dataset) along, because foreign keys look past row-level
-- security: without it a row could point at another tenant's.

do $$
begin
    if not exists (select from pg_roles where rolname = 'variosync_worker') then
        create role variosync_worker nologin nobypassrls noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'variosync_app') then
        create role variosync_app nologin nobypassrls noinherit;
    end if;
end $$;
grant authenticated to variosync_app;
grant usage on schema public to authenticated, variosync_app, variosync_worker;

create table public.profiles (
    id uuid primary key,
    email text not null unique check (email = lower(email) and length(email) between 3 and 320),
    name text not null default '' check (length(name) <= 200),
    owner boolean not null default false,
    created_at timestamptz not null default now()
);
comment on table public.profiles is 'One row an account; the id is the one in auth.users.';

create table public.settings (
    user_id uuid primary key references public.profiles on delete cascade,
    theme text not null default 'system' check (theme in ('system', 'light', 'dark')),
    time_zone text not null default 'UTC',
    updated_at timestamptz not null default now()
);

create table public.sessions (
    id uuid primary key default gen_random_uuid(),
    token_hash bytea not null unique check (length(token_hash) = 32),
    user_id uuid not null references public.profiles on delete cascade,
    identity_session uuid,
    user_agent text not null default '',
    address text not null default '',
    created_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index sessions_user on public.sessions (user_id);

create table public.sign_in_links (
    token_hash bytea primary key check (length(token_hash) = 32),
    user_id uuid not null references public.profiles on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
create index sign_in_links_user on public.sign_in_links (user_id);

create table public.uploads (
    id uuid primary key,
    user_id uuid not null references public.profiles on delete cascade,
    name text not null check (length(name) between 1 and 255),
    size bigint not null check (size >= 0),
    state text not null default 'receiving' check (state in ('receiving', 'accepted', 'discarded')),
    object_key text unique,
    sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
    dataset_id uuid,
    created_at timestamptz not null default now(),
    accepted_at timestamptz,
    check ((state = 'accepted') = (object_key is not null and sha256 is not null)),
    unique (id, user_id)
);
create index uploads_user on public.uploads (user_id, created_at desc);

create table public.data_sources (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    kind text not null check (kind in ('upload')),
    name text not null,
    upload_id uuid,
    created_at timestamptz not null default now(),
    unique (id, user_id),
    foreign key (upload_id, user_id) references public.uploads (id, user_id) on delete cascade
);
create index data_sources_user on public.data_sources (user_id);
create index data_sources_upload on public.data_sources (upload_id);

create table public.datasets (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    source_id uuid not null,
    name text not null check (length(name) between 1 and 255),
    current_version uuid,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (id, user_id),
    foreign key (source_id, user_id) references public.data_sources (id, user_id) on delete cascade
);
create index datasets_user on public.datasets (user_id, updated_at desc);
create index datasets_source on public.datasets (source_id);
alter table public.uploads add foreign key (dataset_id, user_id)
    references public.datasets (id, user_id) on delete set null (dataset_id);
create index uploads_dataset on public.uploads (dataset_id);

create table public.dataset_versions (
    id uuid primary key default gen_random_uuid(),
    dataset_id uuid not null,
    user_id uuid not null references public.profiles on delete cascade,
    number integer not null check (number > 0),
    upload_id uuid not null,
    job_id uuid not null,
    prefix text not null unique,
    manifest jsonb not null,
    rows bigint not null check (rows >= 0),
    created_at timestamptz not null default now(),
    unique (dataset_id, number),
    unique (id, dataset_id),
    foreign key (dataset_id, user_id) references public.datasets (id, user_id) on delete cascade,
    foreign key (upload_id, user_id) references public.uploads (id, user_id)
);
create index dataset_versions_user on public.dataset_versions (user_id);
create index dataset_versions_upload on public.dataset_versions (upload_id);
create unique index dataset_versions_job on public.dataset_versions (job_id);
alter table public.datasets add foreign key (current_version, id)
    references public.dataset_versions (id, dataset_id) on delete set null (current_version);
create index datasets_current on public.datasets (current_version);

create table public.jobs (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    kind text not null check (kind in ('convert', 'forecast')),
    title text not null,
    state text not null default 'queued' check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    payload jsonb not null,
    progress double precision not null default 0 check (progress between 0 and 1),
    message text not null default '',
    attempt integer not null default 0,
    max_attempts integer not null default 3,
    error jsonb,
    cancel_requested boolean not null default false,
    dataset_id uuid,
    forecast_id uuid,
    call_id text,
    queue_id bigint,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    check ((state in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
    unique (id, user_id),
    foreign key (dataset_id, user_id) references public.datasets (id, user_id) on delete cascade
);
create index jobs_user on public.jobs (user_id, created_at desc);
create index jobs_open on public.jobs (created_at) where state in ('queued', 'running');
create index jobs_dataset on public.jobs (dataset_id);

create table public.forecasts (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    dataset_id uuid not null,
    version_id uuid not null,
    name text not null check (length(name) between 1 and 255),
    request jsonb not null,
    result jsonb,
    job_id uuid,
    created_at timestamptz not null default now(),
    issued_at timestamptz,
    unique (id, user_id),
    foreign key (dataset_id, user_id) references public.datasets (id, user_id) on delete cascade,
    foreign key (version_id, dataset_id) references public.dataset_versions (id, dataset_id) on delete cascade,
    foreign key (job_id, user_id) references public.jobs (id, user_id) on delete set null (job_id)
);
create index forecasts_user on public.forecasts (user_id, created_at desc);
create index forecasts_dataset on public.forecasts (dataset_id);
create index forecasts_version on public.forecasts (version_id);
create index forecasts_job on public.forecasts (job_id);
alter table public.jobs add foreign key (forecast_id, user_id)
    references public.forecasts (id, user_id) on delete cascade;
create index jobs_forecast on public.jobs (forecast_id);

create table public.issued_forecasts (
    id uuid primary key default gen_random_uuid(),
    forecast_id uuid not null,
    user_id uuid not null references public.profiles on delete cascade,
    model text not null,
    cutoff timestamptz not null,
    object_key text not null,
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    rows bigint not null check (rows > 0),
    issued_at timestamptz not null default now(),
    unique (forecast_id, model),
    foreign key (forecast_id, user_id) references public.forecasts (id, user_id) on delete cascade
);
create index issued_forecasts_user on public.issued_forecasts (user_id);
comment on table public.issued_forecasts is 'The forecast ledger: rows are added and never changed.';

create table public.notices (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    level text not null check (level in ('info', 'good', 'warn', 'bad')),
    title text not null,
    text text not null default '',
    link text,
    created_at timestamptz not null default now(),
    read_at timestamptz
);
create index notices_user on public.notices (user_id, created_at desc);

create table public.audit_logs (
    id bigint generated always as identity primary key,
    user_id uuid references public.profiles on delete set null,
    action text not null,
    subject text not null default '',
    address text not null default '',
    at timestamptz not null default now()
);
create index audit_logs_user on public.audit_logs (user_id, at desc);

create function public.refuse_change() returns trigger language plpgsql set search_path = '' as $$
begin
    raise exception '% rows are never changed', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger issued_forecasts_immutable before update on public.issued_forecasts
    for each row execute function public.refuse_change();
create trigger dataset_versions_immutable before update on public.dataset_versions
    for each row execute function public.refuse_change();

do $$
declare
    t text;
begin
    foreach t in array array['settings', 'sessions', 'uploads', 'data_sources', 'datasets', 'dataset_versions', 'jobs',
                             'forecasts', 'issued_forecasts', 'notices', 'audit_logs', 'sign_in_links', 'profiles']
    loop
        execute format('alter table public.%I enable row level security', t);
        execute format('alter table public.%I force row level security', t);
        execute format('create policy worker on public.%I for all to variosync_worker using (true) with check (true)', t);
        execute format('revoke all on public.%I from anon, authenticated, public', t);
        execute format('grant select, insert, update, delete on public.%I to variosync_worker', t);
    end loop;
    foreach t in array array['settings', 'uploads', 'data_sources', 'datasets', 'dataset_versions', 'jobs',
                             'forecasts', 'issued_forecasts', 'notices', 'audit_logs', 'sessions']
    loop
        execute format('create policy owner on public.%I for all to authenticated using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))', t);
    end loop;
end $$;
create policy owner on public.profiles for all to authenticated using (id = (select auth.uid())) with check (id = (select auth.uid()));
revoke update, delete on public.issued_forecasts, public.audit_logs from variosync_worker;

grant select, update (name) on public.profiles to authenticated;
grant select, insert, update on public.settings to authenticated;
grant select, delete on public.sessions to authenticated;
grant select, insert, update on public.uploads to authenticated;
grant select, insert on public.data_sources to authenticated;
grant select, insert, update (name, current_version, deleted_at, updated_at) on public.datasets to authenticated;
grant select on public.dataset_versions to authenticated;
grant select, insert, update (cancel_requested, state, progress, message, error, started_at, finished_at, max_attempts, queue_id) on public.jobs to authenticated;
grant select, insert, update (job_id, name), delete on public.forecasts to authenticated;
grant select on public.issued_forecasts to authenticated;
grant select, update (read_at) on public.notices to authenticated;
grant select, insert on public.audit_logs to authenticated;
