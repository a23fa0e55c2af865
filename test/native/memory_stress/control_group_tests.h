// Control groups as files, in a folder made to look like a system's.
#pragma once

namespace localformer {

void ControlGroupsOfBothVersionsAreRead();
void TheControlGroupIsHeldAndLookedAtAgain();

}  // namespace localformer
