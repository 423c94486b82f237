# Checks that functions which stand in several object files were linked from the first of them.
#
# An inline function that the headers share between targets is compiled once for each, and the
# linker keeps one. Were it the one for AVX-512, an older processor would die in it. Two versions of
# one function differ in length, mostly; that is how this test tells which of them was kept.
#
# The binding is linked after the rest, so it must not share a function with these targets.
#
#   cmake -DNM=nm -DANY=base.o,portable.o -DTARGETS=avx2.o,avx512.o -DBINDING=binding.o \
#         -DPROGRAM=test -P shared_code.cmake

function(functions_of file kind result)  # a list of name=length
  execute_process(COMMAND ${NM} --defined-only --print-size ${file}
                  OUTPUT_VARIABLE listing RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${NM} could not read ${file}")
  endif()
  string(REGEX MATCHALL "[0-9a-f]+ [0-9a-f]+ ${kind} [^\n]+" lines "${listing}")
  list(TRANSFORM lines REPLACE "^[0-9a-f]+ 0*([0-9a-f]+) . (.*)$" "\\2=\\1")
  set(${result} ${lines} PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" any "${ANY}")
string(REPLACE "," ";" targets "${TARGETS}")
string(REPLACE "," ";" binding "${BINDING}")
set(differing "")
set(wrong "")
foreach(object IN LISTS any targets binding)
  functions_of(${object} W functions)
  foreach(function IN LISTS functions)
    string(REGEX MATCH "^(.*)=(.*)$" whole "${function}")
    set(name ${CMAKE_MATCH_1})
    if(NOT DEFINED "length_${name}")
      set("length_${name}" ${CMAKE_MATCH_2})
      set("owner_${name}" ${object})
    elseif(NOT CMAKE_MATCH_2 STREQUAL "${length_${name}}")
      list(APPEND differing ${name})
    endif()
    if(object IN_LIST binding AND "${owner_${name}}" IN_LIST targets)
      string(APPEND wrong "\n  ${name}, which the binding shares")
    endif()
  endforeach()
endforeach()
list(REMOVE_DUPLICATES differing)

functions_of(${PROGRAM} "[WTt]" kept)  # what is hidden has become local
list(LENGTH kept count)
if(count EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} has no symbols: this test would see nothing")
endif()
foreach(function IN LISTS kept)
  string(REGEX MATCH "^(.*)=(.*)$" whole "${function}")
  set(name ${CMAKE_MATCH_1})
  if(name IN_LIST differing AND NOT CMAKE_MATCH_2 STREQUAL "${length_${name}}")
    string(APPEND wrong "\n  ${name}")
  endif()
endforeach()

if(wrong)
  message(FATAL_ERROR "linked from an object file for a newer processor:${wrong}")
endif()
list(LENGTH differing count)
message(STATUS "${count} functions differ between object files; the first of each was linked")
