// What the help of every command with --run says about run specs.

export const RUN_SPEC_HELP =
  'A run spec, METHOD[:K][,key=value...], e.g. paper:3,split=1+3,decoder=conv'
