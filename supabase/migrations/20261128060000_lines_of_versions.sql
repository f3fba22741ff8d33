-- What a version goes back to: those that were shown, one after the other, when it came, and itself. A version that was
-- undone before another one came is on the line of neither, so what it scored does not count when that one is shown.
alter table public.dataset_versions add column line int4multirange not null default '{}';
comment on column public.dataset_versions.line is 'The numbers of the versions that it goes back to, its own included.';

create function public.draw_line() returns trigger language plpgsql set search_path = '' as $$
begin
    new.line = coalesce(
        (select c.line from public.datasets d join public.dataset_versions c on c.id = d.current_version
         where d.id = new.dataset_id), '{}') + int4multirange(int4range(new.number, new.number, '[]'));
    return new;
end $$;
revoke all on function public.draw_line from public, anon, authenticated;
create trigger dataset_versions_line before insert on public.dataset_versions
    for each row execute function public.draw_line();

-- Which of the earlier versions were undone was not kept: all of them count, as before.
alter table public.dataset_versions disable trigger dataset_versions_immutable;
update public.dataset_versions set line = int4multirange(int4range(1, number, '[]'));
alter table public.dataset_versions enable trigger dataset_versions_immutable;

-- The score that counts: of the versions that reach back to the first step of each of the forecast's series, the one that
-- knows most of its values, and of those the newest. So a correction counts, and a file of fewer series or days does not.
-- A version counts while it is shown, or one that goes back to it.
create or replace view public.forecast_record with (security_invoker = true) as
select i.user_id, i.id as issued_id, i.forecast_id, f.dataset_id, i.model, i.part, i.cutoff, i.issued_at, f.request,
       s.version_id, s.version, s.points, s.blocks, s.scored_at
from public.issued_forecasts i
join public.forecasts f on f.id = i.forecast_id
join public.datasets d on d.id = f.dataset_id
join public.dataset_versions c on c.id = d.current_version
cross join lateral (
    select s.version_id, v.number as version, s.points, s.blocks, s.scored_at
    from public.forecast_scores s
    join public.dataset_versions v on v.id = s.version_id
    where s.issued_id = i.id and s.points > 0 and c.line @> v.number
    order by s.reaches desc, s.points desc, v.number desc
    limit 1
) s;
