-- The sample's shops come in two files: what was sold up to August, and September, by which their forecast is scored.

alter table public.uploads drop constraint uploads_sample_check;
alter table public.uploads add constraint uploads_sample_check
    check (sample in ('shop_sales', 'shop_sales_news', 'grid_load', 'former'));
