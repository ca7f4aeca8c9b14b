"""Azure scoring scripts: `init` and `run` in place of a model, answered as Azure ML's own inference server answers.

Only a configuration with `script` brings any of this in; the way of a model never meets it.
"""

from wye_runtime.scripts.service import ScriptService
from wye_runtime.scripts.serving import script_app, script_inner_app
from wye_runtime.scripts.settings import script_settings

__all__ = ["ScriptService", "script_app", "script_inner_app", "script_settings"]
