# Checks that functions which stand in several object files were linked from the first of them.
#
# An inline function that the headers share between targets is compiled once for each, and the
# linker keeps one. Were it the one for AVX-512, an older processor would die in it. Two versions of
# one function differ in length, mostly; that is how this test tells which of them was kept.
#
#   cmake -DNM=nm -DOBJECTS=base.o,avx2.o,avx512.o -DPROGRAM=test -P shared_code.cmake

function(weak_functions file result)  # a list of name=length
  execute_process(COMMAND ${NM} --defined-only --print-size ${file}
                  OUTPUT_VARIABLE listing RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${NM} could not read ${file}")
  endif()
  string(REGEX MATCHALL "[0-9a-f]+ [0-9a-f]+ W [^\n]+" lines "${listing}")
  list(TRANSFORM lines REPLACE "^[0-9a-f]+ 0*([0-9a-f]+) W (.*)$" "\\2=\\1")
  set(${result} ${lines} PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" objects "${OBJECTS}")
set(shared "")
foreach(object IN LISTS objects)
  weak_functions(${object} functions)
  foreach(function IN LISTS functions)
    string(REGEX MATCH "^(.*)=(.*)$" whole "${function}")
    if(NOT DEFINED "first ${CMAKE_MATCH_1}")
      set("first ${CMAKE_MATCH_1}" ${CMAKE_MATCH_2})
    elseif(NOT CMAKE_MATCH_2 STREQUAL "${first ${CMAKE_MATCH_1}}")
      list(APPEND shared "${CMAKE_MATCH_1}")
    endif()
  endforeach()
endforeach()
list(REMOVE_DUPLICATES shared)

weak_functions(${PROGRAM} kept)
set(wrong "")
foreach(function IN LISTS kept)
  string(REGEX MATCH "^(.*)=(.*)$" whole "${function}")
  if("${CMAKE_MATCH_1}" IN_LIST shared AND NOT CMAKE_MATCH_2 STREQUAL "${first ${CMAKE_MATCH_1}}")
    string(APPEND wrong "\n  ${CMAKE_MATCH_1}")
  endif()
endforeach()
if(wrong)
  message(FATAL_ERROR "linked from an object file for a newer processor:${wrong}")
endif()
list(LENGTH shared count)
message(STATUS "${count} functions differ between object files; the first was linked")
