-- What a forecast says of itself is written by the server: a user records what is asked for. Scoring is never ordered by one.
revoke insert on public.forecasts from authenticated;
grant insert (user_id, dataset_id, version_id, name, request) on public.forecasts to authenticated;

create function public.refuse_scoring() returns trigger language plpgsql set search_path = '' as $$
begin
    raise exception 'scoring is ordered by the server' using errcode = 'insufficient_privilege';
end $$;
revoke all on function public.refuse_scoring from public, anon, authenticated;
create trigger jobs_scoring before insert on public.jobs
    for each row when (new.kind = 'score' and current_user = 'authenticated') execute function public.refuse_scoring();
