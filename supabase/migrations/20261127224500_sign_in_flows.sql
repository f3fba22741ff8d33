-- Sign-ins by a provider or a mailed link that have begun: any instance may finish one, after a restart too, and one
-- finishes once. They belong to nobody yet, so they lie beside the users' tables, for the worker's role alone.

create schema sign_in;

create table sign_in.flows (
    state_hash bytea primary key check (length(state_hash) = 32),
    provider text not null,
    secret text not null,
    browser_hash bytea not null check (length(browser_hash) = 32),
    target text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);
create index flows_expiry on sign_in.flows (expires_at);
comment on column sign_in.flows.secret is 'What the provider''s answer is checked with: of no use without that answer.';
comment on column sign_in.flows.browser_hash is 'SHA-256 of the cookie of the browser that may finish it.';

revoke all on schema sign_in from public, anon, authenticated;
revoke all on sign_in.flows from public, anon, authenticated;
grant usage on schema sign_in to variosync_worker;
grant select, insert, update, delete on sign_in.flows to variosync_worker;
