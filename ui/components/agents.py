"""What a browser says it is, in words."""

# Later ones name the earlier ones too, so the order decides.
BROWSERS = (
    ('Edg', 'Edge'),
    ('OPR/', 'Opera'),
    ('SamsungBrowser', 'Samsung Internet'),
    ('Vivaldi', 'Vivaldi'),
    ('FxiOS', 'Firefox'),
    ('Firefox', 'Firefox'),
    ('CriOS', 'Chrome'),
    ('HeadlessChrome', 'Chrome'),
    ('Chrome', 'Chrome'),
    ('Safari', 'Safari'),
)
SYSTEMS = (
    ('iPhone', 'iPhone'),
    ('iPad', 'iPad'),
    ('Android', 'Android'),
    ('CrOS', 'ChromeOS'),
    ('Windows', 'Windows'),
    ('Mac OS X', 'macOS'),
    ('Linux', 'Linux'),
)


def agent(user_agent: str) -> str:
    """Return a browser and its system, such as `Firefox on Linux`; a program is called by its own name."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), '')
    system = next((name for mark, name in SYSTEMS if mark in user_agent), '')
    if browser:
        return f'{browser} on {system}' if system else browser
    program = user_agent.split('/')[0].split(' ')[0][:40]
    if program and program != 'Mozilla':
        return f'Program {program}'
    return f'Browser on {system}' if system else 'Unknown browser'
