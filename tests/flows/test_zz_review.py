import pytest
from tests import factories
from tests.flows.test_hours import CSV


async def test_foreign_object(product, user, database):
    other = await factories.user(database)
    await product.bring(user, 'a.csv', b'ds,y\n' + b''.join(f'2026-01-{d:02},{1000+d}\n'.encode() for d in range(1, 29)))
    [ds] = await product.datasets.list(user.id)
    version = await product.datasets.version(user.id, ds.id)
    key = version.parts[0]
    await product.bring(other, 'b.csv', CSV)
    async with database.transaction(other.id) as tx:
        await tx._connection.execute("update uploads set object_key=%s", (key,))
    from core.archive import Archive
    import io, zipfile
    data = b''.join([p async for p in Archive(database, product.forecasts, product.objects).stream(other.id)])
    z = zipfile.ZipFile(io.BytesIO(data))
    for n in z.namelist():
        if 'original/' in n: print(n, z.read(n) == (await product.objects.fetch(key)).read_bytes())
