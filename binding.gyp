# For tools that look for a binding.gyp (prebuildify); the addon is built by CMake. Not published.
{
  "targets": [
    {
      "target_name": "localformer",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake-js",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/localformer.node"],
          "action": ["node", "scripts/node-gyp.mjs", "build"]
        }
      ]
    }
  ]
}
