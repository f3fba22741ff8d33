-- When somebody first proved that the address of an account is theirs, by a provider or a mailed link: what was opened
-- before that may be a stranger's. And since when the password is the one it is: a sign-in by password that began before
-- opens nothing.
alter table public.profiles
    add column proven_at timestamptz,
    add column password_since timestamptz;
update public.profiles p
set proven_at = (
    select min(a.at)
    from public.audit_logs a
    where a.user_id = p.id and a.action like 'sign-in by %' and a.action <> 'sign-in by link'
);
