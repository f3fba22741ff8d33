-- Where the objects of this database lie, and where uploads arrive: a process that would look for them elsewhere is
-- refused at its start. Whoever moves them empties the table.

create schema installation;

create table installation.places (
    what text primary key check (what in ('objects', 'staging')),
    place text not null check (length(place) between 1 and 1000),
    since timestamptz not null default now()
);
comment on table installation.places is 'home:<id of a folder on one machine>, s3:<address>/<bucket> or supabase:<address>/<bucket>.';

revoke all on schema installation from public, anon, authenticated;
revoke all on installation.places from public, anon, authenticated;
grant usage on schema installation to variosync_worker;
grant select, insert on installation.places to variosync_worker;
