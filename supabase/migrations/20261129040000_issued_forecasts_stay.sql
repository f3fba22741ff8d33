-- What was issued of a deleted forecast stays with its dataset and goes on counting, so that no track record is polished by
-- deleting what went wrong: only what was never issued is removed after its 30 days.
update public.forecasts set removing_at = null where removing_at is not null and issued_at is not null;
alter table public.forecasts add check (removing_at is null or issued_at is null);

-- A deletion happens now: whoever could date it back would have what was deleted removed at once, past the audit log.
create function public.date_deletion() returns trigger language plpgsql set search_path = '' as $$
begin
    new.deleted_at = coalesce(old.deleted_at, now());
    return new;
end $$;
revoke all on function public.date_deletion from public, anon, authenticated;

do $$
declare
    t text;
begin
    foreach t in array array['datasets', 'forecasts', 'dashboards']
    loop
        execute format('create trigger %I before update of deleted_at on public.%I for each row '
                       'when (new.deleted_at is distinct from old.deleted_at and new.deleted_at is not null '
                       'and current_user = ''authenticated'') execute function public.date_deletion()', t || '_deletion', t);
    end loop;
end $$;
