-- name: place_claim
-- Remember where something lies, unless that is known already.
insert into installation.places (what, place) values (%(what)s, %(place)s) on conflict (what) do nothing;

-- name: places
-- Where everything lies.
select what, place, since from installation.places;

-- name: login_examine
-- Who is signed in, whether row-level security would not bind them, and the time of the database.
select rolname as login, rolsuper or rolbypassrls as unbound, clock_timestamp() as now
from pg_roles where rolname = session_user;
