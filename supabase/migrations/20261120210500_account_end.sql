-- What must stand still before an account is removed: the open usage session and the open jobs are locked before the
-- account, in the order of all functions of hours. Removing the account alone would lock them after it, against a beat
-- or the end of a job that holds one of them and waits for the account.
create function public.lock_usage(p_user uuid) returns void
    language plpgsql security definer set search_path = '' as $$
begin
    perform 1 from public.usage_sessions where user_id = p_user and ended_at is null for update;
    perform 1 from public.jobs where user_id = p_user and state in ('queued', 'running') order by id for update;
end $$;
revoke all on function public.lock_usage from public, anon, authenticated;
grant execute on function public.lock_usage to variosync_worker;
