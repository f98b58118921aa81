"""What a source file imports."""

import ast


def imported(source: str, package: str) -> set[str]:
    """Dotted names of all a file imports, wherever in it, relative ones resolved."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = f"{package}.{node.module or ''}".rstrip(".") if node.level else node.module
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names
