-- The audit log tells which API key acted, and on what. Both, and what users named, go with the account.
alter table public.audit_logs
    add column api_key text not null default '' check (length(api_key) <= 100),
    add column about uuid;
create index audit_logs_about on public.audit_logs (about) where about is not null;
comment on column public.audit_logs.api_key is 'The name of the API key that acted; empty for a person, or when nobody asked.';
comment on column public.audit_logs.about is 'The dataset or the dashboard that the entry tells of.';

create or replace function public.keep_audit() returns trigger language plpgsql set search_path = '' as $$
begin
    if tg_op = 'UPDATE' and pg_trigger_depth() > 1 and old.user_id is not null and new.user_id is null
       and to_jsonb(new) - 'user_id' = to_jsonb(old) - 'user_id' then
        if old.about is not null then
            new.subject := '';
        end if;
        new.about := null;
        new.api_key := '';
        return new;
    end if;
    raise exception 'audit_logs rows are never changed' using errcode = 'insufficient_privilege';
end $$;

create index datasets_deleted on public.datasets (user_id, deleted_at desc) where deleted_at is not null;
