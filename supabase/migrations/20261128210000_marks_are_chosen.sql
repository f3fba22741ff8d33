-- Faults are marked where somebody chose so. Panels were saved with `"marks": true` while that was what they had by
-- themselves and there was no way to choose it: nobody did in these. What was written past the app may be of any form,
-- or so long that a letter more is too much: it stays as it is.
alter table public.dashboard_revisions disable trigger dashboard_revisions_immutable;
do $$
declare
    t text;
begin
    foreach t in array array['dashboards', 'dashboard_revisions'] loop
        execute format($q$
            update public.%I set spec = jsonb_set(spec, '{panels}', (
                select jsonb_agg(case when p #> '{show,marks}' = 'true' then jsonb_set(p, '{show,marks}', 'false') else p end
                                 order by at)
                from jsonb_array_elements(spec -> 'panels') with ordinality panels (p, at)))
            where jsonb_typeof(spec -> 'panels') = 'array' and octet_length(spec::text) <= 190000
                and spec @? '$.panels[*].show.marks ? (@ == true)'
        $q$, t);
    end loop;
end $$;
alter table public.dashboard_revisions enable trigger dashboard_revisions_immutable;
